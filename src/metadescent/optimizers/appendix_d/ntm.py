"""What NTM-BFGS and NTM-L-BFGS share (appendix D): a controller with heads on a common memory M.

(g_t, r_t, a_t, b_t), h_{t+1} = controller(∇_t, i_{t−1}, h_t)      coordinatewise but for its GACs
i_t     = M_t r_t                                                  for each read head
M_{t+1} = M_t + Σ a_t b_tᵀ                                         over the write heads
M_0     = γ I

In BFGS M is the approximation of the inverse Hessian, r is a gradient or a difference of two, and
an update of M takes three writes. From the paper are the heads, the memory, the LSTM+GAC as
controller and the delay of one step with which i is fed back. This project's choices are M_0, g as
one more output of the controller, and those that comments below explain.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import require
from metadescent.optimizers.appendix_d.communicating import Communicating
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.base import phi_dtype
from metadescent.optimizers.lstm import LSTM, LSTMState, truncated_normal

# The factor on the write heads' initial weights: M starts near M_0, and stays there until
# meta-training finds a use for it. With 0 neither a nor b would ever learn.
SMALL = 0.1


class Emission(NamedTuple):
    """What a controller emits for n coordinates: the update, read vectors, write vectors."""

    g: Float[Array, " n"]
    r: Float[Array, "reads n"]
    a: Float[Array, "writes n"]
    b: Float[Array, "writes n"]


class NTMState(NamedTuple):
    """h of the controller, the read results i of the step before, and what M is made of."""

    h: PyTree[Array]
    i: Float[Array, "reads n"]
    memory: PyTree[Array]


class Driver(eqx.Module):
    """The interface of a step from gradient and memory to update and new memory."""

    reads: eqx.AbstractVar[int]  # heads
    writes: eqx.AbstractVar[int]

    @abstractmethod
    def init_row(self, n: int) -> PyTree[Array]:
        """Return h₀ of n coordinates."""

    @abstractmethod
    def step(
        self, m: "NTM", gradient: Float[Array, " n"], state: NTMState
    ) -> tuple[Float[Array, " n"], NTMState]:
        """Map ∇_t to g_t, reading from M_t and writing M_{t+1} as `m` does."""


class Controller(Driver):
    """A driver in the paper's order: it emits vectors, and then M is read and written."""

    @abstractmethod
    def __call__(
        self, gradient: Float[Array, " n"], results: Float[Array, "reads n"], state: PyTree[Array]
    ) -> tuple[Emission, PyTree[Array]]:
        """Map ∇_t, i_{t−1} and h_t to the emission and h_{t+1}."""

    def step(
        self, m: "NTM", gradient: Float[Array, " n"], state: NTMState
    ) -> tuple[Float[Array, " n"], NTMState]:
        emitted, h = self(gradient, state.i, state.h)
        i = m.read(state.memory, emitted.r)
        return emitted.g, NTMState(h, i, m.write(state.memory, emitted.a, emitted.b))


class LSTMController(Controller):
    """An LSTM+GAC with heads: linear functions of its last layer's h, alike for all coordinates."""

    gac: LSTMGAC
    heads: eqx.nn.Linear
    reads: int = eqx.field(static=True)
    writes: int = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int],
        averaging: int,
        p: float | None,
        scale: float,
        reads: int,
        writes: int,
        *,
        key: PRNGKeyArray,
    ):
        require("reads", reads, 1)
        require("writes", writes, 1)
        self.reads, self.writes = reads, writes
        gac_key, heads_key = jax.random.split(key)
        gac = LSTMGAC(layers, averaging, p, scale, key=gac_key)
        # The first cell is drawn again, with the read results as further features.
        count = gac.lstm.cells[0].input_size + reads
        cell = LSTM.on_features(count, layers, scale, key=gac_key).cells[0]
        self.gac = eqx.tree_at(lambda m: m.lstm.cells[0], gac, cell)
        hidden, vectors = gac.lstm.layers[-1], reads + 2 * writes
        weight = truncated_normal(heads_key, (vectors, hidden), hidden)
        self.heads = eqx.tree_at(
            lambda linear: (linear.weight, linear.bias),
            eqx.nn.Linear(hidden, vectors, key=heads_key),
            (weight.at[reads:].multiply(SMALL), jnp.zeros(vectors)),
        )

    def init_row(self, n: int) -> LSTMState:
        return self.gac.init_row(n)

    def __call__(
        self, gradient: Float[Array, " n"], results: Float[Array, "reads n"], state: LSTMState
    ) -> tuple[Emission, LSTMState]:
        # arsinh(i) is about i where i is small, and a signed logarithm where i is large. The
        # preprocessing of appendix A is not used: the meta-gradient flows through i, but not
        # through ∇, and would be multiplied by slopes of up to e^p.
        x = jnp.concatenate([self.gac.lstm.features(gradient), jnp.arcsinh(results)])
        h, state = self.gac.run(x, state)
        vectors = self.heads.weight @ h + cast(Array, self.heads.bias)[:, None]
        r, a, b = jnp.split(vectors, [self.reads, self.reads + self.writes])
        # With b divided by n, ⟨b, r⟩ is a mean over coordinates, like a GAC's. If vectors have
        # entries of order one, a write then changes M by a matrix whose norm is of order one for
        # any n. BFGS is made of ratios of sums over coordinates, so it need not know n.
        return Emission(self.gac.lstm.emit(h), r, a, b / max(gradient.size, 1)), state


class NTM(Communicating):
    """A controller and a memory; a subclass says how M is kept."""

    controller: eqx.AbstractVar[Driver]

    @abstractmethod
    def init_memory(self, n: int) -> PyTree[Array]:
        """Return M_0."""

    @abstractmethod
    def read(self, memory: PyTree[Array], r: Float[Array, "reads n"]) -> Float[Array, "reads n"]:
        """Return M r for each read vector."""

    @abstractmethod
    def write(
        self, memory: PyTree[Array], a: Float[Array, "writes n"], b: Float[Array, "writes n"]
    ) -> PyTree[Array]:
        """Return M + Σ a bᵀ."""

    def init_row(self, n: int) -> NTMState:
        i = jnp.zeros((self.controller.reads, n), phi_dtype(self))
        return NTMState(self.controller.init_row(n), i, self.init_memory(n))

    def update_row(
        self, gradient: Float[Array, " n"], state: NTMState
    ) -> tuple[Float[Array, " n"], NTMState]:
        return self.controller.step(self, gradient, state)
