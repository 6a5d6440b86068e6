"""The LSTM against Equinox's cell and automatic differentiation; test_l2l has the authors' own."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.lstm import LSTM, gates
from metadescent.optimizers.preprocess import log_and_sign

KEY = jax.random.key(0)


def one_coordinate(m: LSTM, gradients: jax.Array) -> jax.Array:
    """Updates of a single coordinate, by the formulas of the docstring and Equinox's cells."""
    states = [(jnp.zeros(n), jnp.zeros(n)) for n in m.layers]
    updates = []
    for gradient in gradients:
        x = gradient[None] if m.p is None else log_and_sign(gradient, m.p)
        for layer, cell in enumerate(m.cells):
            states[layer] = cell(x, states[layer])
            x = states[layer][0]
        updates.append(m.scale * (m.output.weight @ x + m.output.bias)[0])
    return jnp.stack(updates)


def run(m: LSTM, gradients: jax.Array) -> tuple[jax.Array, Any]:
    def step(state: Any, gradient: jax.Array) -> tuple[Any, jax.Array]:
        update, state = m.update(gradient, state)
        return state, update

    state, updates = jax.lax.scan(step, m.init(gradients[0]), gradients)
    return updates, state


@pytest.mark.parametrize(
    ("layers", "p"), [((), 10.0), ((3,), None), ((3, 2), 10.0)], ids=["line", "one", "two"]
)
def test_it_is_a_stack_of_equinoxs_cells(
    layers: tuple[int, ...], p: float | None, assert_close: Callable
) -> None:
    m = LSTM(layers, p=p, scale=0.7, key=KEY)
    gradients = jnp.asarray([[1.0, -1e-3], [1e-7, 2.0], [0.0, -0.1]])
    updates, _ = run(m, gradients)
    alone = jax.jit(lambda gradients: one_coordinate(m, gradients))
    for coordinate in range(2):
        assert_close(updates[:, coordinate], alone(gradients[:, coordinate]))


def plain_gates(z: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    i, f, g, o = jnp.split(z, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def test_the_gates_derivative_is_that_of_their_formula(assert_close: Callable) -> None:
    with jax.enable_x64(True):
        z_key, c_key, h_key = jax.random.split(KEY, 3)
        z = 2 * jax.random.normal(z_key, (8, 5), jnp.float64)
        c = jax.random.normal(c_key, (2, 5), jnp.float64)
        ours, pull = jax.vjp(gates, z, c)
        plain, plain_pull = jax.vjp(plain_gates, z, c)
        assert_close(ours, plain, rtol=1e-12)
        cotangents = tuple(jax.random.normal(h_key, (2, 2, 5), jnp.float64))
        assert_close(pull(cotangents), plain_pull(cotangents), rtol=1e-12, atol=1e-14)


def test_the_exact_meta_gradient_goes_through_the_gates(assert_close: Callable) -> None:
    """Second derivatives differentiate an update with respect to the gradient it was given."""
    m = LSTM((2,), key=KEY)
    gradients = jnp.asarray([[0.5], [-0.2]])
    ours = jax.jit(jax.jacrev(lambda g: run(m, g)[0][:, 0]))(gradients)
    plain = jax.jit(jax.jacrev(lambda g: one_coordinate(m, g[:, 0])))(gradients)
    assert_close(ours, plain)


def test_without_layers_it_is_a_line() -> None:
    m = LSTM((), p=None, scale=2.0, key=KEY)
    m = eqx.tree_at(
        lambda m: (m.output.weight, m.output.bias), m, (jnp.full((1, 1), 3.0), jnp.ones(1))
    )
    update, state = m.update(jnp.asarray([0.0, 1.0]), m.init(jnp.zeros(2)))
    assert update.tolist() == [2.0, 8.0]
    assert state == ()


def test_scale_multiplies_the_update_and_nothing_else(assert_close: Callable) -> None:
    gradients = jnp.asarray([[1.0], [-2.0]])
    (one, state), (half, same_state) = (
        run(LSTM((3,), scale=scale, key=KEY), gradients) for scale in (1.0, 0.5)
    )
    assert_close(half, 0.5 * one)
    assert_close(state, same_state)


def test_where_phi_is_zero_nothing_moves() -> None:
    m = jax.tree.map(jnp.zeros_like, LSTM((3, 2), key=KEY))
    assert not run(m, jnp.asarray([[1.0], [-5.0]]))[0].any()


def test_it_has_as_many_parameters_as_the_authors() -> None:
    m = LSTM(key=KEY)
    assert m.layers == (20, 20)
    assert sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(m, eqx.is_array))) == 5141


@pytest.mark.parametrize("layer", [0, 1])
def test_phi_is_drawn_as_the_docstring_says(layer: int) -> None:
    m = jax.jit(lambda key: LSTM((64, 32), key=key))(KEY)
    cell, hidden = m.cells[layer], (64, 32)[layer]
    fan_in = (2, 64)[layer] + hidden
    forget = np.zeros(4 * hidden)
    forget[hidden : 2 * hidden] = 1.0
    pooled = [
        *np.ravel(cell.weight_ih),
        *np.ravel(cell.weight_hh),
        *(np.asarray(cell.bias) - forget),
    ]
    assert np.abs(pooled).max() <= 2 / np.sqrt(fan_in) + 1e-6
    # A Gaussian cut at two standard deviations has 0.8796 of the standard deviation left.
    assert np.std(pooled) * np.sqrt(fan_in) == pytest.approx(0.88, abs=0.03)
    assert np.mean(pooled) * np.sqrt(fan_in) == pytest.approx(0.0, abs=0.05)


def test_the_output_starts_without_bias_and_every_array_with_its_own_draw() -> None:
    m = jax.jit(lambda key: LSTM((8, 8), key=key))(KEY)
    assert not m.output.bias.any()
    assert np.abs(m.output.weight).max() <= 2 / np.sqrt(8)
    values = np.concatenate([np.ravel(x) for x in jax.tree.leaves(m) if x.size > 1])
    assert len(np.unique(values)) == len(values)


@pytest.mark.parametrize("layers", [(3,), (3, 2)], ids=["one", "two"])
def test_on_features_it_is_the_same_stack(layers: tuple[int, ...], assert_close: Callable) -> None:
    count, coordinates = 5, 4
    m = LSTM.on_features(count, layers, 0.7, key=KEY)
    x = jax.random.normal(jax.random.key(1), (count, 2, 2))
    g, state = m.run(x, m.init(jnp.zeros((2, 2))))
    rows = x.reshape(count, coordinates).T
    for cell, (h, c) in zip(m.cells, state, strict=True):
        zeros = jnp.zeros((coordinates, cell.hidden_size))
        rows, cs = jax.vmap(cell)(rows, (zeros, zeros))
        assert_close(h.reshape(-1, coordinates).T, rows)
        assert_close(c.reshape(-1, coordinates).T, cs)
    assert_close(g.ravel(), 0.7 * jax.vmap(m.output)(rows)[:, 0])


def test_on_features_phi_is_drawn_as_for_gradients() -> None:
    m = jax.jit(lambda key: LSTM.on_features(30, (64,), 1.0, key=key))(KEY)
    pooled = np.concatenate([np.ravel(m.cells[0].weight_ih), np.ravel(m.cells[0].weight_hh)])
    assert np.abs(pooled).max() <= 2 / np.sqrt(94) + 1e-6
    assert np.std(pooled) * np.sqrt(94) == pytest.approx(0.88, abs=0.03)
    assert len(np.unique(pooled)) > 0.99 * pooled.size
