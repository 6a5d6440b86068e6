"""The LSTM optimizer of section 2.1 and figure 3.

x       = preprocess(∇)            appendix A, or ∇ itself
h¹, c¹  = LSTM¹(x,  h¹, c¹)
h², c²  = LSTM²(h¹, h², c²)
g       = scale · (w·h² + b)
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent import _ffi
from metadescent._errors import UserError, require, require_kind
from metadescent.optimizers.base import Elementwise
from metadescent.optimizers.blockwise import pull_back_blockwise
from metadescent.optimizers.native.lstm import lstm_pull_back, lstm_update, lstm_vjp
from metadescent.optimizers.preprocess import log_and_sign

LSTMState = tuple[tuple[Float[Array, "_ *n"], Float[Array, "_ *n"]], ...]


class LSTM(Elementwise):
    """A stack of LSTM layers with forget gates, the same for every coordinate.

    Arguments:
        layers: hidden units of each layer; the paper's (20, 20). Empty for a linear rule.
        p: the constant of the preprocessing of appendix A (the paper's 10), or None for none.
        scale: factor on the output; the paper takes 0.1 on MNIST and 1 on quadratics.
        key: draws φ from an IID Gaussian of standard deviation 1/√fan-in, cut at two standard
            deviations, as in the authors' code; forget gates start with a bias one higher.

    Source: section 2.1, figure 3; Hochreiter and Schmidhuber (1997) with forget gates. The order
    of gates is `equinox.nn.LSTMCell`'s.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m, theta = LSTM(layers=(4,), key=jax.random.key(0)), jnp.zeros((2, 3))
        >>> g, h = m.update(jnp.ones((2, 3)), m.init(theta))
        >>> g.shape, h[0][0].shape
        ((2, 3), (4, 2, 3))
    """

    cells: tuple[eqx.nn.LSTMCell, ...]
    output: eqx.nn.Linear
    layers: tuple[int, ...] = eqx.field(static=True)
    p: float | None = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    state_dtype: Any = eqx.field(static=True)  # of h; None is φ's own

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        p: float | None = 10.0,
        scale: float = 0.1,
        *,
        key: PRNGKeyArray,
    ):
        require_kind("layers", layers, Sequence, "a list or tuple of sizes; try (20, 20)")
        for units in layers:
            require("a layer of the lstm", units, 1)
        if p is not None:
            require("p", p, 1e-6)
        require("scale", scale, 0.0)
        self.layers, self.p, self.scale = tuple(layers), p, scale
        self.state_dtype = None
        *cell_keys, output_key = jax.random.split(key, len(self.layers) + 1)
        fan_in = (1 if p is None else 2, *self.layers)
        self.cells = tuple(
            lstm_cell(n, hidden, key)
            for n, hidden, key in zip(fan_in[:-1], self.layers, cell_keys, strict=True)
        )
        output = eqx.nn.Linear(fan_in[-1], 1, key=output_key)
        weight = truncated_normal(output_key, (1, fan_in[-1]), fan_in[-1])
        self.output = eqx.tree_at(
            lambda linear: (linear.weight, linear.bias), output, (weight, jnp.zeros(1))
        )

    @classmethod
    def on_features(
        cls, count: int, layers: Sequence[int], scale: float, *, key: PRNGKeyArray
    ) -> "LSTM":
        """Return an LSTM to `run` on `count` features, which another rule makes from gradients."""
        if not layers:
            raise UserError("layers is empty; give one layer or more, such as (20, 20)")
        m = cls(layers, scale=scale, key=key)
        cell = lstm_cell(count, m.layers[0], jax.random.fold_in(key, 0))
        return eqx.tree_at(lambda m: m.cells[0], m, cell)

    def init_coordinate(self) -> LSTMState:
        dtype = self.state_dtype or self.output.weight.dtype
        return tuple((jnp.zeros(n, dtype), jnp.zeros(n, dtype)) for n in self.layers)

    def update_array(
        self, gradient: Float[Array, "*n"], state: LSTMState
    ) -> tuple[Float[Array, "*n"], LSTMState]:
        # The kernel updates h in place; reshaping h for it would cost two copies of h.
        return self.run(self.features(gradient), state)

    def pull_back(
        self, state: LSTMState, inputs: Float[Array, "T n"], cotangents: Float[Array, "T n"]
    ) -> "LSTM":
        return self.pull_back_run(state, self.features(inputs), cotangents)

    def run(
        self, x: Float[Array, "features *n"], state: LSTMState
    ) -> tuple[Float[Array, "*n"], LSTMState]:
        """Run the features of coordinates, in whatever shape these are, through the stack."""
        self._require_fit(state, x.shape[1:])
        state = self.exact(state)
        g, h = _fused(self, x, state) if self._fuses(x, state) else stack(self, x, state)
        return g, self.rounded(h)

    def pull_back_run(
        self, state: LSTMState, x: Float[Array, "features T n"], cotangents: Float[Array, "T n"]
    ) -> "LSTM":
        """Return Σ_t ⟨λ_t, ∂g_t/∂φ⟩ for n coordinates whose features over T steps are x."""
        self._require_fit(state, x.shape[2:])
        state = self.exact(state)

        def reference(m: LSTM, state: LSTMState, x: Array, cotangents: Array) -> LSTM:
            return pull_back_blockwise(stack, m, state, jnp.moveaxis(x, 0, 1), cotangents)

        def native(m: LSTM, state: LSTMState, x: Array, cotangents: Array) -> LSTM:
            phi, treedef = jax.tree.flatten(m)
            h = jax.tree.leaves(state)
            return treedef.unflatten(lstm_pull_back(x, cotangents, phi, h, m.scale))

        if not self._fuses(x, state):
            return reference(self, state, x, cotangents)
        # Which of the two runs is known only when a program is compiled for its device.
        return jax.lax.platform_dependent(self, state, x, cotangents, cpu=native, default=reference)

    def exact(self, state: LSTMState) -> LSTMState:
        """Return h in φ's dtype, the dtype of the arithmetic."""
        return state if self.state_dtype is None else _cast(state, self.output.weight.dtype)

    def rounded(self, state: LSTMState) -> LSTMState:
        """Return h in the dtype that it is kept in."""
        return state if self.state_dtype is None else _cast(state, self.state_dtype)

    def features(self, gradient: Float[Array, "*shape"]) -> Float[Array, "_ *shape"]:
        """Return the stack's inputs for gradients, with the features on the first axis."""
        return gradient[None] if self.p is None else log_and_sign(gradient, self.p)

    def threshold(self) -> float:
        return 0.0 if self.p is None else math.exp(-self.p)

    def emit(self, h: Float[Array, "_ *n"]) -> Float[Array, "*n"]:
        """Return g = scale · (w·h + b) for the h of the last layer."""
        bias = cast(Array, self.output.bias).reshape(())
        return self.scale * (jnp.tensordot(self.output.weight[0], h, 1) + bias)

    def _require_fit(self, state: LSTMState, coordinates: tuple[int, ...]) -> None:
        """Raise a UserError unless h and c fit coordinates of this shape; JAX would broadcast c."""
        shapes = [(jnp.shape(h), jnp.shape(c)) for h, c in state]
        expected = [((units, *coordinates),) * 2 for units in self.layers]
        if shapes != expected:
            raise UserError(
                f"the LSTM's h and c are of the shapes {shapes} and must be {expected}, of as many "
                "coordinates as its features"
            )

    def _fuses(self, x: Array, state: LSTMState) -> bool:
        arrays = jax.tree.leaves((x, self, state))
        return bool(self.layers) and x.size > 0 and _ffi.can_run(*arrays)


def _cast(state: LSTMState, dtype: Any) -> LSTMState:
    return jax.tree.map(lambda x: x.astype(dtype), state)


def stack(
    m: LSTM, x: Float[Array, "features *n"], state: LSTMState
) -> tuple[Float[Array, "*n"], LSTMState]:
    """Run coordinates through the stack in plain JAX: the reference of all faster forms."""
    # Coordinates keep their shape: in a row they would move between devices where θ is sharded.
    new_state = []
    for cell, (h, c) in zip(m.cells, state, strict=True):
        x, c = layer(cell, x, h, c)
        new_state.append((x, c))
    return m.emit(x), tuple(new_state)


def layer(
    cell: eqx.nn.LSTMCell,
    x: Float[Array, "features *n"],
    h: Float[Array, "hidden *n"],
    c: Float[Array, "hidden *n"],
) -> tuple[Float[Array, "hidden *n"], Float[Array, "hidden *n"]]:
    """Return the next h and c of one layer for coordinates in any shape, in plain JAX."""
    # One matrix product instead of two.
    weight = jnp.concatenate([cell.weight_ih, cell.weight_hh], axis=1)
    bias = cast(Array, cell.bias).reshape(-1, *(1,) * (x.ndim - 1))
    return gates(jnp.tensordot(weight, jnp.concatenate([x, h]), 1) + bias, c)


# The kernel has derivatives of its own, because XLA cannot look into it.
@jax.custom_vjp
def _fused(m: LSTM, x: Array, state: LSTMState) -> tuple[Array, LSTMState]:
    """Compute the same as `stack`, on a CPU by the kernel in C++."""

    def native(m: LSTM, x: Array, state: LSTMState) -> tuple[Array, LSTMState]:
        h, treedef = jax.tree.flatten(state)
        g, h = lstm_update(x, jax.tree.leaves(m), h, m.scale)
        return g, treedef.unflatten(h)

    return jax.lax.platform_dependent(m, x, state, cpu=native, default=stack)


def _fused_forward(m: LSTM, x: Array, state: LSTMState) -> tuple[PyTree, PyTree]:
    return _fused(m, x, state), (m, x, state)


def _fused_backward(inputs: PyTree, cotangents: PyTree) -> PyTree:
    def native(inputs: PyTree, cotangents: PyTree) -> PyTree:
        m, x, state = inputs
        phi, phi_tree = jax.tree.flatten(m)
        h, state_tree = jax.tree.flatten(state)
        g, after = cotangents
        dphi, dx, dh = lstm_vjp(x, phi, h, m.scale, g, jax.tree.leaves(after))
        return phi_tree.unflatten(dphi), dx, state_tree.unflatten(dh)

    def reference(inputs: PyTree, cotangents: PyTree) -> PyTree:
        return jax.vjp(stack, *inputs)[1](cotangents)

    return jax.lax.platform_dependent(inputs, cotangents, cpu=native, default=reference)


_fused.defvjp(_fused_forward, _fused_backward)


# The derivative is written out so that the backward pass keeps six arrays a step, the gates and the
# two cell states. Automatic differentiation keeps more than ten. With a small LSTM the backward
# pass waits for memory, and this makes it about 1.7 times as fast.
@jax.custom_vjp
def gates(
    z: Float[Array, "four_hidden *n"], c: Float[Array, "hidden *n"]
) -> tuple[Float[Array, "hidden *n"], Float[Array, "hidden *n"]]:
    """Map z = (i, f, g, o) and c to h′ = σ(o)·tanh(c′) and c′ = σ(f)·c + σ(i)·tanh(g)."""
    return _gates_forward(z, c)[0]


def _gates_forward(z: Array, c: Array) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    i, f, g, o = jnp.split(z, 4)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    new_c = f * c + i * g
    tanh_c = jnp.tanh(new_c)
    return (o * tanh_c, new_c), (i, f, g, o, tanh_c, c)


def _gates_backward(
    residuals: tuple[Array, ...], cotangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    i, f, g, o, tanh_c, c = residuals
    dh, dc = cotangents
    # h′ depends on c′ too.
    dc = dc + dh * o * (1 - tanh_c**2)
    dz = (
        dc * g * i * (1 - i),
        dc * c * f * (1 - f),
        dc * i * (1 - g**2),
        dh * tanh_c * o * (1 - o),
    )
    return jnp.concatenate(dz), dc * f


gates.defvjp(_gates_forward, _gates_backward)


def lstm_cell(inputs: int, hidden: int, key: PRNGKeyArray) -> eqx.nn.LSTMCell:
    """Draw a layer of an LSTM: truncated Gaussians by fan-in, and 1 on the forget gate's bias."""
    cell = eqx.nn.LSTMCell(inputs, hidden, key=key)
    input_key, hidden_key, bias_key = jax.random.split(key, 3)
    fan_in = inputs + hidden
    bias = truncated_normal(bias_key, (4 * hidden,), fan_in)
    phi = (
        truncated_normal(input_key, (4 * hidden, inputs), fan_in),
        truncated_normal(hidden_key, (4 * hidden, hidden), fan_in),
        bias.at[hidden : 2 * hidden].add(1.0),  # of the forget gate
    )
    return eqx.tree_at(lambda c: (c.weight_ih, c.weight_hh, c.bias), cell, phi)


def truncated_normal(key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int) -> Array:
    """Draw from a Gaussian of standard deviation 1/√fan-in, cut at two standard deviations."""
    return jax.random.truncated_normal(key, -2.0, 2.0, shape) / jnp.sqrt(fan_in)


NAMED = {"lstm": LSTM}
