"""One optimization, step by step: the same as `unroll`, and no gradient uncounted."""

from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

from metadescent.descent.trace import Visited, curve_of, descend
from metadescent.descent.unrolling import start, unroll
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee
from metadescent.problems.quadratic import Quadratic

LBFGS = optax.lbfgs()  # one rule, and so one program for all that is run with it
F, KEY = Quadratic(dimension=3).sample(jax.random.key(0)), jax.random.key(1)
THETA = F.init(KEY)


class Counted(Optimizee):
    """A quadratic that calls back at every evaluation."""

    def init(self, key: Array) -> Array:
        return THETA

    def loss(self, theta: Array, key: Array) -> Array:
        jax.debug.callback(lambda: CALLS.append(1))
        return F.loss(theta, key) + jnp.sum(theta**4)


CALLS: list[int] = []


@pytest.mark.parametrize("learned", [False, True])
def test_it_goes_the_way_of_unroll(learned: bool) -> None:
    m = LSTM((2,), key=jax.random.key(2)) if learned else optax.adam(0.1)
    way = list(descend(m, F, THETA, KEY, num_gradients=5))
    begin = start(m, F, KEY)
    end, losses = unroll(m, F, begin, KEY, num_steps=5)
    np.testing.assert_allclose(curve_of(way, 5), losses, rtol=1e-5)
    np.testing.assert_allclose(way[-1].theta, end.theta, rtol=1e-5)
    assert [visited.gradients for visited in way] == list(range(6))


def test_between_the_thetas_of_a_line_search_the_loss_stays() -> None:
    way = [Visited(None, 9.0, 0), Visited(None, 5.0, 2), Visited(None, 4.0, 3)]
    assert curve_of(way, 4).tolist() == [9.0, 5.0, 4.0, 4.0]


@pytest.mark.parametrize("steps", [1, 4])
def test_every_gradient_of_a_line_search_counts(steps: int) -> None:
    CALLS.clear()
    *_, last = islice(descend(LBFGS, Counted(), THETA, KEY, num_gradients=100), steps + 1)
    jax.effects_barrier()
    assert last.gradients == len(CALLS) > steps


@pytest.mark.parametrize("budget", [1, 2, 7])
def test_no_line_search_goes_beyond_the_budget(budget: int) -> None:
    way = list(descend(LBFGS, F, THETA, KEY, num_gradients=budget))
    whole = list(descend(LBFGS, F, THETA, KEY, num_gradients=50))
    within = [visited.gradients for visited in whole if visited.gradients <= budget]
    assert [visited.gradients for visited in way] == within


def test_lbfgs_minimizes_a_quadratic() -> None:
    *_, last = descend(LBFGS, F, THETA, KEY, num_gradients=50)
    assert float(last.loss) < 1e-6
    np.testing.assert_allclose(last.loss, F.loss(last.theta, KEY), atol=1e-6)
