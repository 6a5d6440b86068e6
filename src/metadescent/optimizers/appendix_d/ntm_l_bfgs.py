"""NTM-L-BFGS (appendix D): NTM-BFGS that remembers only the writes of its last K steps.

M_t = γ I + Σ_{t−K ≤ s < t} a_s b_sᵀ,     i_t = γ r_t + Σ_s a_s ⟨b_s, r_t⟩

While nothing has been forgotten this is NTM-BFGS.
`ntm` has the controller, its heads, and what the paper leaves open about them.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from metadescent._errors import require
from metadescent.optimizers.appendix_d.ntm import NTM, Driver, LSTMController
from metadescent.optimizers.appendix_d.secants import Secants
from metadescent.optimizers.base import phi_dtype


class History(NamedTuple):
    """The write vectors of the last K steps; those of step t are at t mod K."""

    a: Float[Array, "K writes n"]
    b: Float[Array, "K writes n"]
    t: Int[Array, ""]


class NTMLBFGS(NTM):
    """A learned relative of L-BFGS: memory and time of a step grow with n·K.

    Arguments:
        layers, averaging, p, scale: the controller's, see `LSTMGAC`.
        reads: read heads.
        writes: write heads.
        gamma: M without any writes is this times the identity; 0 for an empty memory.
        history: K, the number of steps whose writes are remembered, those of all write heads.
        secants: None for the appendix's controller, or a number for the controller of `secants`,
            which at first writes this share of the update of Broyden's second method.
        key: draws φ.

    Source: appendix D, "NTM-L-BFGS optimizer".

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = NTMLBFGS(layers=(4,), averaging=2, history=5, key=jax.random.key(0))
        >>> theta = jnp.ones(1000)
        >>> g, state = m.update(theta, m.init(theta))
        >>> state.memory.a.shape, int(state.memory.t)
        ((5, 3, 1000), 1)
    """

    controller: Driver
    gamma: float = eqx.field(static=True)
    history: int = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        averaging: int = 5,
        p: float | None = 10.0,
        scale: float = 0.1,
        reads: int = 1,
        writes: int = 3,
        gamma: float = 1.0,
        history: int = 10,
        secants: float | None = None,
        *,
        key: PRNGKeyArray,
    ):
        require("gamma", gamma, 0.0)
        require("history", history, 1)
        self.gamma, self.history = gamma, history
        controller = LSTMController if secants is None else partial(Secants, first=secants)
        self.controller = controller(layers, averaging, p, scale, reads, writes, key=key)

    def init_memory(self, n: int) -> History:
        empty = jnp.zeros((self.history, self.controller.writes, n), phi_dtype(self))
        return History(empty, empty, jnp.zeros((), jnp.int32))

    def read(self, memory: History, r: Float[Array, "reads n"]) -> Float[Array, "reads n"]:
        # The product with b comes first: two thin products, and no matrix of n × n.
        shares = jnp.einsum("kwn,rn->rkw", memory.b, r)
        return self.gamma * r + jnp.einsum("rkw,kwn->rn", shares, memory.a)

    def write(
        self, memory: History, a: Float[Array, "writes n"], b: Float[Array, "writes n"]
    ) -> History:
        oldest = memory.t % self.history
        return History(memory.a.at[oldest].set(a), memory.b.at[oldest].set(b), memory.t + 1)


NAMED = {"ntm-l-bfgs": NTMLBFGS}
