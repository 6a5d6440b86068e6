"""NTM-L-BFGS is NTM-BFGS that forgets, in memory that grows with n·K."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS
from metadescent.optimizers.appendix_d.ntm_l_bfgs import NTMLBFGS

KEY = jax.random.key(0)
STEPS, N, GAMMA = 5, 6, 0.5
GRADIENTS = jax.random.normal(jax.random.key(1), (STEPS, N))
OPTIONS = {"layers": (3,), "averaging": 1, "reads": 2, "writes": 2, "gamma": GAMMA, "key": KEY}


def loud(m: Any) -> Any:
    """The same with heads that have a lot to say."""
    weight = jax.random.normal(KEY, m.controller.heads.weight.shape)
    return eqx.tree_at(lambda m: m.controller.heads.weight, m, weight)


def make(history: int) -> NTMLBFGS:
    return loud(NTMLBFGS(**OPTIONS, history=history))


@eqx.filter_jit
def run(m: Any, gradients: Any) -> tuple[Any, Any]:
    """The updates and states after each of a sequence of gradients, stacked."""

    def step(state: Any, gradient: Any) -> tuple[Any, Any]:
        g, state = m.update(gradient, state)
        return state, (g, state)

    return jax.lax.scan(step, m.init(jax.tree.map(lambda g: g[0], gradients)), gradients)[1]


@pytest.mark.parametrize("history", [STEPS, STEPS + 3])
def test_while_nothing_is_forgotten_it_is_ntm_bfgs(history: int, assert_close: Callable) -> None:
    updates, states = run(make(history), GRADIENTS)
    dense_updates, dense_states = run(loud(NTMBFGS(**OPTIONS)), GRADIENTS)
    assert_close(updates, dense_updates, rtol=1e-4)
    assert_close(states.i, dense_states.i, rtol=1e-4)
    memory = states.memory
    M = GAMMA * np.eye(N) + np.einsum("tkwi,tkwj->tij", memory.a, memory.b)
    np.testing.assert_allclose(M, dense_states.memory, rtol=1e-4, atol=1e-6)


def test_it_forgets_what_was_written_first(assert_close: Callable) -> None:
    """With K = 2: the read results are those of γI plus the last two steps' writes."""
    m = make(2)
    controller = eqx.filter_jit(m.controller)
    _, states = run(m, GRADIENTS)
    written, i, h = [], jnp.zeros((2, N)), m.controller.init_row(N)
    for t, gradient in enumerate(GRADIENTS):
        emitted, h = controller(gradient, i, h)
        M = GAMMA * np.eye(N) + sum(written[-2:], np.zeros((N, N)))
        i = jnp.asarray(emitted.r @ M.T, jnp.float32)
        assert_close(states.i[t], i, rtol=1e-4)
        written.append(np.asarray(emitted.a).T @ np.asarray(emitted.b))
    assert not np.allclose(states.i[-1], run(make(STEPS), GRADIENTS)[1].i[-1], rtol=1e-2)


def test_its_state_grows_with_n_and_with_k() -> None:
    def numbers(n: int, history: int) -> tuple[int, int]:
        """Of the memory, and of all the rest."""
        state = jax.eval_shape(NTMLBFGS(history=history, key=KEY).init, jnp.zeros(n))
        sizes = [leaf.size for leaf in (state.memory.a, state.memory.b)]
        rest = sum(leaf.size for leaf in jax.tree.leaves((state.h, state.i)))
        return sum(sizes), rest

    # Two vectors for each of three write heads; h and c of 2 × 20 cells and one read result.
    assert numbers(1, 1) == (6, 81)
    assert numbers(1000, 1) == (6_000, 81_000)
    assert numbers(1000, 7) == (42_000, 81_000)
    assert numbers(10**6, 10) == (60_000_000, 81_000_000)


def test_a_read_forms_nothing_of_size_n_by_n() -> None:
    n = 2000
    m = make(2)
    memory, r = jax.eval_shape(lambda: (m.init_memory(n), jnp.zeros((2, n))))
    analysis = jax.jit(lambda *x: m.read(*x)).lower(memory, r).compile().memory_analysis()
    assert 0 < analysis.output_size_in_bytes + analysis.temp_size_in_bytes < n * n


def test_it_commutes_with_permutations_of_coordinates(assert_close: Callable) -> None:
    order = np.asarray([3, 5, 0, 1, 4, 2])
    m = make(2)
    assert_close(run(m, GRADIENTS[:, order])[0], run(m, GRADIENTS)[0][:, order], rtol=1e-4)


def test_it_commutes_with_regrouping_of_leaves(assert_close: Callable) -> None:
    def regroup(g: jax.Array) -> Any:
        return {"left": g[:, :2], "right": g[:, 2:].reshape(STEPS, 2, 2)}

    m = make(2)
    updates, states = run(m, GRADIENTS)
    regrouped, regrouped_states = run(m, regroup(GRADIENTS))
    assert_close(regrouped, regroup(updates))
    assert_close(regrouped_states, states)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"history": 0}, "history is 0 and must be at least 1"),
        ({"gamma": -1.0}, "gamma is -1.0 and must be at least 0"),
    ],
)
def test_what_means_nothing_is_refused(options: Any, expected: str, sentence: Callable) -> None:
    assert sentence(NTMLBFGS, **options, key=KEY) == expected
