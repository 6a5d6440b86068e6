"""The controller on secants: Broyden's second method to begin with, and free to leave it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS
from metadescent.optimizers.appendix_d.ntm_l_bfgs import NTMLBFGS
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(0)
STEPS, N, GAMMA = 5, 6, 0.5
GRADIENTS = jax.random.normal(jax.random.key(1), (STEPS, N))
OPTIONS: dict[str, Any] = {"layers": (3,), "averaging": 1, "p": None, "gamma": GAMMA, "key": KEY}


def loud(m: Any) -> Any:
    """The same with heads that have a lot to say, each coordinate something of its own."""
    weight = jax.random.normal(KEY, m.controller.heads.weight.shape)
    return eqx.tree_at(lambda m: m.controller.heads.weight, m, weight)


M = loud(NTMBFGS(**OPTIONS, writes=2, secants=0.5))


@eqx.filter_jit
def run(m: Any, gradients: Any) -> tuple[Any, Any]:
    """The updates and states after each of a sequence of gradients, stacked."""

    def step(state: Any, gradient: Any) -> tuple[Any, Any]:
        g, state = m.update(gradient, state)
        return state, (g, state)

    return jax.lax.scan(step, m.init(jax.tree.map(lambda g: g[0], gradients)), gradients)[1]


def quadratic() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A of condition number 100 and norm 1, the minimum and a start."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(N, N)))[0]
    return Q @ np.diag(np.geomspace(0.01, 1.0, N)) @ Q.T, rng.normal(size=N), rng.normal(size=N)


def broyden(A: np.ndarray, minimum: np.ndarray, theta: np.ndarray, steps: int) -> Any:
    """θ and M after each of some steps of Broyden's second method, by the textbook."""
    H, found = np.eye(N), []
    g = A @ (theta - minimum)
    for _ in range(steps):
        s = -H @ g
        theta, before = theta + s, g
        found.append((theta, H))
        g = A @ (theta - minimum)
        y = g - before
        H = H + np.outer(s - H @ y, y) / (y @ y)
    return tuple(map(np.asarray, zip(*found, strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [NTMBFGS, NTMLBFGS])
def test_untrained_it_is_broydens_second_method(kind: type) -> None:
    """And so ends at the minimum of a quadratic, as that does within 2n steps (Gay, 1979)."""
    A, minimum, start = quadratic()
    steps = 2 * N + 2
    thetas, Hs = broyden(A, minimum, start, steps)
    assert np.abs(thetas[-1] - minimum).max() < 1e-8
    more = {"history": steps} if kind is NTMLBFGS else {}
    with jax.enable_x64(True):
        m = kind((3,), 1, p=None, scale=0.0, writes=1, secants=1.0, key=KEY, **more)
        m = jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, m)

        def step(carry: Any, _: None) -> Any:
            theta, state = carry
            g, state = m.update(jnp.asarray(A) @ (theta - minimum), state)
            return (theta + g, state), (theta + g, state.memory)

        run = jax.jit(lambda begin: jax.lax.scan(step, begin, length=steps)[1])
        ours, memory = run((jnp.asarray(start), m.init(jnp.asarray(start))))
        np.testing.assert_allclose(ours, thetas, rtol=0, atol=1e-9)
        if kind is NTMLBFGS:
            memory = np.eye(N) + np.einsum("tkwi,tkwj->tij", memory.a, memory.b)
        np.testing.assert_allclose(memory[: N + 1], Hs[: N + 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("first", [0.0, 0.5, 1.0])
def test_the_first_head_writes_a_share_of_the_least_change_that_fits_the_secant(
    first: float, assert_close: Callable
) -> None:
    """M_{t+1} y = (1 − first) M_t y + first s, so with 1 the memory knows the last secant."""
    updates, states = run(NTMBFGS(**OPTIONS, secants=first), GRADIENTS)
    for t in range(1, STEPS):
        y, s = GRADIENTS[t] - GRADIENTS[t - 1], updates[t - 1]
        expected = (1 - first) * states.memory[t - 1] @ y + first * s
        assert_close(states.memory[t] @ y, expected, rtol=1e-4, atol=1e-5)


def test_before_there_was_a_step_nothing_is_written() -> None:
    _, states = run(M, GRADIENTS[:1])
    np.testing.assert_array_equal(states.memory[0], GAMMA * np.eye(N))


def test_what_is_read_for_the_update_has_been_written_in_the_same_step(
    assert_close: Callable,
) -> None:
    _, states = run(M, GRADIENTS)
    for t in range(STEPS):
        assert_close(states.i[t, 0], states.memory[t] @ GRADIENTS[t], rtol=1e-4)


def test_it_follows_the_scale_of_f(assert_close: Callable) -> None:
    """c f and γ / c in place of f and γ: the same path."""
    c = 64.0
    scaled = loud(NTMBFGS(**OPTIONS | {"gamma": GAMMA / c}, writes=2, secants=0.5))
    assert_close(run(scaled, c * GRADIENTS)[0], run(M, GRADIENTS)[0], rtol=1e-3)


@pytest.mark.parametrize("history", [STEPS, STEPS + 3])
def test_with_low_memory_it_is_the_same_while_nothing_is_forgotten(
    history: int, assert_close: Callable
) -> None:
    m = loud(NTMLBFGS(**OPTIONS, writes=2, secants=0.5, history=history))
    assert_close(run(m, GRADIENTS)[0], run(M, GRADIENTS)[0], rtol=1e-3, atol=1e-5)


def test_one_phi_fits_both_memories() -> None:
    """So that what was trained with one may go on with the other."""

    def shapes(m: Any) -> list[Any]:
        leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(m, eqx.is_array))
        return [(jax.tree_util.keystr(path), leaf.shape) for path, leaf in leaves]

    low_memory = NTMLBFGS(**OPTIONS, writes=2, secants=0.5, history=3)
    assert shapes(low_memory) == shapes(M)


def test_it_commutes_with_permutations_of_coordinates(assert_close: Callable) -> None:
    order = np.asarray([3, 5, 0, 1, 4, 2])
    updates, states = run(M, GRADIENTS)
    permuted, permuted_states = run(M, GRADIENTS[:, order])
    assert_close(permuted, updates[:, order], rtol=1e-3, atol=1e-5)
    assert_close(permuted_states.memory, states.memory[:, order][:, :, order], rtol=1e-3, atol=1e-5)


@eqx.filter_jit
def slope(m: Any, problem: Quadratic) -> Any:
    begin = start_batch(m, problem, KEY, 2)
    return eqx.filter_grad(
        lambda m: meta_loss(m, problem, begin, KEY, num_problems=2, num_steps=4)[0]
    )(m)


@pytest.mark.parametrize("kind", [NTMBFGS, NTMLBFGS])
@pytest.mark.parametrize("first", [0.0, 1.0])
def test_what_is_written_and_the_step_learn_from_the_first(kind: type, first: float) -> None:
    """The left vectors of all heads do, though only one writes anything yet."""
    m = kind((3,), 1, writes=2, gamma=0.01, secants=first, key=KEY)
    found = slope(m, Quadratic(dimension=3)).controller
    bias = np.asarray(found.heads.bias)
    assert np.isfinite(found.heads.weight).all()
    heads = bias[:-2].reshape(2, 4)
    assert (bias[-2:] != 0).all()
    assert (heads[:, 0] != 0).all()
    assert (heads[0, 1:] != 0).all() == (first > 0)
    assert np.abs(found.gac.lstm.output.weight).max() > 0


def test_at_rest_it_rests_and_so_does_its_meta_gradient() -> None:
    m = NTMBFGS(**OPTIONS, secants=1.0)
    updates, _ = run(m, jnp.zeros((STEPS, N)))
    assert np.abs(updates).max() < 1e-14
    total = eqx.filter_grad(lambda m: run(m, jnp.zeros((STEPS, N)))[0].sum())
    for leaf in jax.tree.leaves(total(m)):
        assert np.isfinite(leaf).all()


def test_changes_below_the_threshold_write_nothing() -> None:
    """Rounding errors look like changes of ∇ near the minimum; e^−p tells them apart."""
    small = 1e-8 * GRADIENTS
    _, states = run(NTMBFGS((3,), 1, p=10.0, secants=1.0, key=KEY), small)
    np.testing.assert_allclose(states.memory[-1], np.eye(N), rtol=0, atol=1e-5)
    _, states = run(NTMBFGS((3,), 1, p=30.0, secants=1.0, key=KEY), small)
    assert np.abs(states.memory[-1] - np.eye(N)).max() > 0.1


def test_no_step_is_more_than_a_hundred_times_as_large_as_the_first() -> None:
    """Where a change of ∇ by next to nothing says that there is next to no curvature."""
    flat = jnp.stack([c * GRADIENTS[0] for c in (1.0, 0.999, 0.998)])
    updates, _ = run(NTMBFGS(**OPTIONS, scale=0.0, writes=1, secants=1.0), flat)
    sizes = np.sqrt(np.mean(np.asarray(updates) ** 2, axis=1))
    np.testing.assert_allclose(sizes / sizes[0], [1.0, 100.0, 100.0], rtol=1e-4)
    cosine = updates[1] @ updates[0] / (np.linalg.norm(updates[0]) * np.linalg.norm(updates[1]))
    assert cosine > 0.999


@pytest.mark.parametrize("kind", [NTMBFGS, NTMLBFGS])
def test_where_the_gradient_has_grown_beyond_reach_the_memory_begins_anew(kind: type) -> None:
    m = loud(kind(**OPTIONS, secants=1.0))
    lost = GRADIENTS.at[3].multiply(1000.0 / np.abs(GRADIENTS[3]).max())
    _, states = run(m, lost)
    begin = m.init_memory(N)
    for t, expected in enumerate([True, False, False, True, False]):
        memory = jax.tree.map(lambda x, t=t: x[t], states.memory)
        written = memory.a if kind is NTMLBFGS else memory - begin
        assert bool(written.any()) != expected


@pytest.mark.parametrize("kind", [NTMBFGS, NTMLBFGS])
def test_from_far_away_it_goes_back_to_where_the_gradient_was_smallest(kind: type) -> None:
    sizes = jnp.asarray([1.0, 0.01, 0.5, 1.5, 0.5])
    updates, states = run(loud(kind(**OPTIONS, secants=1.0)), sizes[:, None] * GRADIENTS[:1])
    # θ_1 has the smallest gradient, and after step 3 θ is there again.
    np.testing.assert_allclose(np.asarray(updates)[1:4].sum(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(states.h.away[3], 0.0, atol=1e-5)
    assert np.abs(states.h.away[2]).max() > 1e-3


@pytest.mark.parametrize("small", [0.0, 1e-6])
def test_a_gradient_that_is_small_once_does_not_hold_it_for_good(small: float) -> None:
    sizes = jnp.asarray([1.0, small, 1.0, 1.0, 1.0])
    updates, _ = run(NTMBFGS(**OPTIONS, secants=1.0), sizes[:, None] * GRADIENTS[:1])
    assert np.abs(updates[3:]).max(axis=1).min() > 0.1


@pytest.mark.parametrize("broken", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("when", [0, 2])
def test_a_gradient_that_is_not_finite_is_gone_back_from(broken: float, when: int) -> None:
    updates, states = run(loud(NTMBFGS(**OPTIONS, secants=1.0)), GRADIENTS.at[when, 1].set(broken))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((updates, states)))
    sizes = np.sqrt(np.mean(np.asarray(GRADIENTS[:when]) ** 2, axis=1))
    best = int(np.argmin(sizes)) if when else 0
    np.testing.assert_allclose(np.asarray(updates)[best : when + 1].sum(0), 0.0, atol=1e-5)
    assert np.abs(updates[-1]).max() > 0


def test_what_means_nothing_is_refused(sentence: Callable) -> None:
    assert sentence(NTMBFGS, secants=1.0, reads=2, key=KEY) == (
        "reads is 2 and a controller on secants has one read head; try reads=1"
    )
    assert sentence(NTMBFGS, secants=-1.0, key=KEY) == "secants is -1.0 and must be at least 0"
    assert sentence(NTMLBFGS, secants=1.0, writes=0, key=KEY) == (
        "writes is 0 and must be at least 1"
    )
