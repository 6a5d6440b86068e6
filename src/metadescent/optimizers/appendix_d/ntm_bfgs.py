"""NTM-BFGS (appendix D): an LSTM+GAC that reads from and writes to an n × n memory.

i_t     = M_t r_t
M_{t+1} = M_t + Σ a_t b_tᵀ,     M_0 = γ I

`ntm` has the controller, its heads, and what the paper leaves open about them.
"""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError, require
from metadescent._text import format_bytes
from metadescent.optimizers.appendix_d.ntm import NTM, Driver, LSTMController
from metadescent.optimizers.appendix_d.secants import Secants
from metadescent.optimizers.base import phi_dtype


class NTMBFGS(NTM):
    """A learned relative of BFGS.

    With one read head, three write heads and two GACs it can be BFGS, if its controller can compute
    any function of a coordinate (appendix D). This is why the defaults have so many heads. Memory
    and time of a step grow with n².

    Arguments:
        layers, averaging, p, scale: the controller's, see `LSTMGAC`.
        reads: read heads.
        writes: write heads.
        gamma: M_0 is this times the identity; 0 for an empty memory.
        limit: refuse a θ of more coordinates than this.
        secants: None for the appendix's controller, or a number for the controller of `secants`,
            which at first writes this share of the update of Broyden's second method.
        key: draws φ.

    Raises:
        UserError: from `init`, if θ has too many coordinates.

    Source: appendix D, "NTM-BFGS optimizer", figures 14 and 15.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = NTMBFGS(layers=(4,), averaging=2, key=jax.random.key(0))
        >>> theta = {"w": jnp.ones((2, 3)), "b": jnp.ones(2)}
        >>> g, state = m.update(theta, m.init(theta))
        >>> g["w"].shape, state.i.shape, state.memory.shape
        ((2, 3), (1, 8), (8, 8))
    """

    controller: Driver
    gamma: float = eqx.field(static=True)
    limit: int = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        averaging: int = 5,
        p: float | None = 10.0,
        scale: float = 0.1,
        reads: int = 1,
        writes: int = 3,
        gamma: float = 1.0,
        limit: int = 2048,
        secants: float | None = None,
        *,
        key: PRNGKeyArray,
    ):
        require("gamma", gamma, 0.0)
        require("limit", limit, 1)
        self.gamma, self.limit = gamma, limit
        controller = LSTMController if secants is None else partial(Secants, first=secants)
        self.controller = controller(layers, averaging, p, scale, reads, writes, key=key)

    def init_memory(self, n: int) -> Float[Array, "n n"]:
        dtype = phi_dtype(self)
        if n > self.limit:
            raise UserError(
                f"θ has {n} coordinates and ntm-bfgs takes at most {self.limit}, as its memory of "
                f"n × n would fill {format_bytes(n * n * dtype.itemsize)}; try ntm-l-bfgs, or a "
                "higher limit"
            )
        return self.gamma * jnp.eye(n, dtype=dtype)

    def read(
        self, memory: Float[Array, "n n"], r: Float[Array, "reads n"]
    ) -> Float[Array, "reads n"]:
        return r @ memory.T

    def write(
        self, memory: Float[Array, "n n"], a: Float[Array, "writes n"], b: Float[Array, "writes n"]
    ) -> Float[Array, "n n"]:
        return memory + a.T @ b


NAMED = {"ntm-bfgs": NTMBFGS}
