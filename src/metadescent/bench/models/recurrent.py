"""Recurrent cells, and networks that read pictures row by row or text letter by letter.

    RNN   h ← tanh(a + h u)
    GRU   r, z, n = σ(a_r + h u_r), σ(a_z + h u_z), tanh(a_n + r (h u_n)),    h ← z h + (1 − z) n
    LSTM  i, f, g, o of a + h u;    c ← σ(f) c + σ(i) tanh g,    h ← σ(o) tanh c

a = x w + b is computed for all times at once. w is Glorot's, u begins small, and the LSTM's forget
gate has a bias of 1.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from metadescent.bench.models.layers import Layer, Plan, ToDraw, affine, apply_affine, glorot, small
from metadescent.bench.models.supervised import Network
from metadescent.problems.base import Theta

CellKind = Literal["rnn", "gru", "lstm"]
GATES = {"rnn": 1, "gru": 3, "lstm": 4}

State = tuple[Float[Array, "batch units"], ...]  # h, and c of the LSTM
Sequence = Float[Array, "batch times _"]


def cell_plan(kind: CellKind, inputs: int, units: int) -> dict[str, Any]:
    """Return the plan of a cell's w, u and b, the gates side by side."""
    gates = GATES[kind]
    b = jnp.zeros(gates * units)
    return {
        # Each gate has inputs and outputs of its own.
        "w": ToDraw((inputs, gates * units), glorot(inputs, units).std),
        "u": small(units, gates * units),
        "b": b.at[units : 2 * units].set(1.0) if kind == "lstm" else b,
    }


def recur(kind: CellKind, cell: Layer, x: Sequence) -> Sequence:
    """Return h at every time, from h = 0 on."""
    drive = apply_affine({"w": cell["w"], "b": cell["b"]}, x).swapaxes(0, 1)
    units = cell["u"].shape[0]
    zeros = jnp.zeros((len(x), units), drive.dtype)
    begin = (zeros, zeros) if kind == "lstm" else (zeros,)

    def step(state: State, a: Float[Array, "batch gates"]) -> tuple[State, Array]:
        state = _CELLS[kind](state, a, cell["u"])
        return state, state[0]

    # Several times in one turn of the loop were slower, and far slower to compile.
    _, h = jax.lax.scan(step, begin, drive)
    return h.swapaxes(0, 1)


def _rnn(state: State, a: Array, u: Array) -> State:
    return (jnp.tanh(a + state[0] @ u),)


def _gru(state: State, a: Array, u: Array) -> State:
    (h,) = state
    (a_r, a_z, a_n), (u_r, u_z, u_n) = jnp.split(a, 3, -1), jnp.split(h @ u, 3, -1)
    z = jax.nn.sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + u_r) * u_n)
    return (z * h + (1 - z) * n,)


def _lstm(state: State, a: Array, u: Array) -> State:
    h, c = state
    i, f, g, o = jnp.split(a + h @ u, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


_CELLS: dict[str, Callable[[State, Array, Array], State]] = {
    "rnn": _rnn,
    "gru": _gru,
    "lstm": _lstm,
}


class RowReader(Network):
    """A cell that reads a picture row by row; the outputs are an affine map of the last h."""

    kind: CellKind
    columns: int
    units: int

    def plan(self) -> Plan:
        cell = cell_plan(self.kind, self.columns, self.units)
        return {"cell": cell, "out": affine(self.units, 10)}

    def apply(
        self,
        theta: dict[str, Layer],
        x: Float[Array, "batch height width 1"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, "batch outputs"]:
        del key
        return apply_affine(theta["out"], recur(self.kind, theta["cell"], x[..., 0])[:, -1])


class LetterReader(Network):
    """A cell that reads text letter by letter, and predicts the next one at each."""

    kind: CellKind
    letters: int
    features: int
    units: int

    def plan(self) -> Plan:
        return {
            "embedding": ToDraw((self.letters, self.features), 1.0),
            "cell": cell_plan(self.kind, self.features, self.units),
            "out": affine(self.units, self.letters),
        }

    def apply(
        self, theta: Theta, x: Integer[Array, "batch times"], key: PRNGKeyArray | None
    ) -> Float[Array, "batch times letters"]:
        del key
        h = recur(self.kind, theta["cell"], theta["embedding"][x])
        return apply_affine(theta["out"], h)
