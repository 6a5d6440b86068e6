"""LSTM+GAC: the LSTM but for its averages, which are over all coordinates and nothing else."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.meta.loss import forms
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.base import phi_dtype
from metadescent.optimizers.lstm import LSTM, stack
from metadescent.optimizers.preprocess import log_and_sign

KEY = jax.random.key(0)
LAYERS, AVERAGING, SCALE = (4, 3), 2, 0.7
M = LSTMGAC(LAYERS, AVERAGING, scale=SCALE, key=KEY)
STEPS, N = 3, 6
GRADIENTS = jax.random.normal(jax.random.key(1), (STEPS, N))


@eqx.filter_jit
def run(m: Any, gradients: Any) -> Any:
    """The updates for a sequence of gradients, stacked."""

    def step(state: Any, gradient: Any) -> tuple[Any, Any]:
        g, state = m.update(gradient, state)
        return state, g

    return jax.lax.scan(step, m.init(jax.tree.map(lambda g: g[0], gradients)), gradients)[1]


@jax.jit
def one_by_one(gradients: jax.Array) -> jax.Array:
    """The updates by Equinox's cells, coordinate by coordinate, with averages in between."""
    hs = [jnp.zeros((N, units)) for units in LAYERS]
    cs = [jnp.zeros((N, units)) for units in LAYERS]
    updates = []
    for gradient in gradients:
        x = jax.vmap(log_and_sign)(gradient)
        for number, cell in enumerate(M.lstm.cells):
            h, cs[number] = jax.vmap(cell)(x, (hs[number], cs[number]))
            spoken = [h[:, j].sum() / N if j < AVERAGING else h[:, j] for j in range(h.shape[1])]
            x = hs[number] = jnp.stack(jnp.broadcast_arrays(*spoken), axis=1)
        updates.append(SCALE * jax.vmap(M.lstm.output)(x)[:, 0])
    return jnp.stack(updates)


def test_it_is_a_stack_of_equinoxs_cells_that_speak_in_averages(assert_close: Callable) -> None:
    """To the layer above, to the output, and to the same layer a step later."""
    assert_close(run(M, GRADIENTS), one_by_one(GRADIENTS))


def test_with_no_averaging_cells_it_is_the_lstm(
    assert_same_bits: Callable, assert_close: Callable
) -> None:
    m, lstm = LSTMGAC(LAYERS, 0, scale=SCALE, key=KEY), LSTM(LAYERS, scale=SCALE, key=KEY)
    assert_same_bits(m.lstm, lstm)

    @jax.jit
    def plain(gradient: jax.Array) -> Any:
        return stack(lstm, lstm.features(gradient), lstm.init(gradient))

    @jax.jit
    def ours(gradient: jax.Array) -> Any:
        return m.update(gradient, m.init(gradient))

    assert_same_bits(ours(GRADIENTS[0]), plain(GRADIENTS[0]))
    assert_close(run(m, GRADIENTS), run(lstm, GRADIENTS))


def test_coordinates_do_talk() -> None:
    disturbed = GRADIENTS.at[0, 0].set(7.0)
    assert (run(M, disturbed)[0, 1:] != run(M, GRADIENTS)[0, 1:]).all()


def test_it_commutes_with_permutations_of_coordinates(assert_close: Callable) -> None:
    order = np.asarray([3, 5, 0, 1, 4, 2])
    assert_close(run(M, GRADIENTS[:, order]), run(M, GRADIENTS)[:, order])


@pytest.mark.parametrize(
    "regroup",
    [
        lambda g: {"left": g[:, :2], "right": g[:, 2:].reshape(STEPS, 2, 2)},
        lambda g: (g[:, 0], g[:, 1:1], {"rest": g[:, 1:].reshape(STEPS, 5, 1)}, None),
    ],
    ids=["two leaves", "a scalar, an empty leaf, a column and None"],
)
def test_the_average_is_over_all_leaves(regroup: Callable, assert_close: Callable) -> None:
    assert_close(run(M, regroup(GRADIENTS)), regroup(run(M, GRADIENTS)))


def test_the_average_is_over_one_optimizee_of_a_batch(assert_close: Callable) -> None:
    batch = jnp.stack([GRADIENTS, -2 * GRADIENTS], axis=1)
    together = run(M.over_batch(), batch)
    for b in range(2):
        assert_close(together[:, b], run(M, batch[:, b]))


def test_leaves_of_several_dtypes_are_one_row(assert_close: Callable) -> None:
    gradient = {
        "half": jnp.asarray([0.25, -2.0], jnp.bfloat16),
        "single": jnp.asarray([0.5], jnp.float32),
    }
    g, state = M.update(gradient, M.init(gradient))
    assert (g["half"].dtype, g["single"].dtype) == (jnp.bfloat16, jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {phi_dtype(M)}
    row = jnp.asarray([0.25, -2.0, 0.5])
    assert_close(g["single"], M.update(row, M.init(row))[0][2:])


def test_its_meta_gradient_goes_through_the_unroll() -> None:
    assert forms(M) == ("recompute", "plain", "segments")


def mean_of_squares() -> LSTMGAC:
    """An LSTM+GAC whose update is the mean of ∇², by hand, to a share of 10⁻⁵.

    Two averaging cells get ±ε∇ at their gates i and g, and the others stand still: h ≈ ½ σ(±ε∇)
    tanh(±ε∇) = ¼ (±ε∇ + ½ ε²∇²) + O(ε³). In their sum the odd terms cancel: ¼ ε²∇² (1 + O(ε²∇²)).
    """
    epsilon = 1e-3
    m = LSTMGAC((2,), 2, p=None, scale=1.0, key=KEY)
    both = jnp.asarray([epsilon, -epsilon], jnp.float64)
    still = jnp.zeros(2, jnp.float64)
    phi = (
        jnp.concatenate([both, still, both, still])[:, None],  # i, f, g, o
        jnp.zeros((8, 2), jnp.float64),
        jnp.concatenate([still, still - 100.0, still, still]),  # nothing is remembered
        jnp.full((1, 2), 4 / epsilon**2, jnp.float64),
        jnp.zeros(1, jnp.float64),
    )
    return eqx.tree_at(
        lambda m: (
            *(m.lstm.cells[0].weight_ih, m.lstm.cells[0].weight_hh, m.lstm.cells[0].bias),
            *(m.lstm.output.weight, m.lstm.output.bias),
        ),
        m,
        phi,
    )


def test_gacs_suffice_for_clipping_by_the_norm(assert_close: Callable) -> None:
    """Appendix D: … "assuming that each LSTM can compute the square of the gradient".

    What takes communication is ‖∇‖² = n · mean ∇², which one layer computes, by its gates to any
    precision that is asked for but not exactly. What is left is a function of ∇ and of that mean,
    coordinate by coordinate; it is written here by its formula, not by weights.
    """
    with jax.enable_x64(True):
        m = mean_of_squares()
        gradients = jnp.asarray([[3.0, -4.0, 0.0], [0.1, 0.2, -0.2], [-0.5, 2.0, 1.0]], jnp.float64)
        means = run(m, {"a": gradients[:, :1], "b": gradients[:, 1:]})
        assert_close(means["a"][:, 0], (gradients**2).mean(1), rtol=1e-5)
        clip = optax.clip_by_global_norm(1.0)
        for gradient, a, b in zip(gradients, means["a"], means["b"], strict=True):
            norm = jnp.sqrt(gradient.size * jnp.concatenate([a, b]))
            ours = gradient / jnp.maximum(norm, 1.0)
            assert_close(ours, clip.update(gradient, clip.init(gradient))[0], rtol=1e-5)


def test_what_means_nothing_is_refused(sentence: Callable) -> None:
    assert sentence(LSTMGAC, (), key=KEY) == (
        "layers is empty; give one layer or more, such as (20, 20)"
    )
    assert sentence(LSTMGAC, (20, 4), averaging=5, key=KEY) == (
        "averaging is 5 and the smallest layer has 4 cells; try fewer averaging cells or more units"
    )
    assert sentence(LSTMGAC, averaging=-1, key=KEY) == "averaging is -1 and must be at least 0"
    assert sentence(LSTMGAC, (0,), key=KEY) == "a layer of the lstm is 0 and must be at least 1"
