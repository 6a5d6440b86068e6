"""Rosenbrock's function is SciPy's, shifted and scaled as was drawn."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.batch import Batch
from metadescent.problems.rosenbrock import Rosenbrock, Valley

KEY = jax.random.key(0)


@pytest.mark.parametrize("dimension", [2, 4])
def test_value_and_gradient_are_scipys_at_the_place_in_the_valley(dimension: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    f = Rosenbrock(dimension).sample(KEY)
    theta = f.init(KEY)
    value, gradient = jax.jit(jax.value_and_grad(f.loss))(theta, KEY)
    x = np.asarray((theta - f.a) / f.c, np.float64)
    np.testing.assert_allclose(value, optimize.rosen(x), rtol=1e-4)
    np.testing.assert_allclose(gradient, optimize.rosen_der(x) / f.c, rtol=1e-3, atol=1e-3)


def test_the_minimum_is_zero_at_ones() -> None:
    f = Valley(jnp.asarray([3.0, -1.0, 0.5]), jnp.asarray(2.0))
    value, gradient = jax.value_and_grad(f.loss)(f.a + 2.0, KEY)
    assert float(value) == 0.0
    assert not gradient.any()


def test_places_sizes_and_starts_are_drawn_as_the_docstring_says() -> None:
    fs = eqx.filter_jit(Batch.sample)(Rosenbrock(4, r=0.3), KEY, 1000)
    for drawn in (fs.own.a, fs.init(KEY)):
        assert (float(drawn.mean()), float(drawn.std())) == pytest.approx((0.0, 0.5), abs=0.02)
    logs = np.log(np.asarray(fs.own.c))
    assert logs.shape == (1000,)
    assert -0.3001 < logs.min() < -0.29
    assert 0.29 < logs.max() < 0.3001
    assert float(Rosenbrock(2, r=0.0).sample(KEY).c) == 1.0


def test_what_means_nothing_is_refused(sentence: Callable) -> None:
    assert sentence(Rosenbrock, 1) == "dimension is 1 and must be at least 2"
    assert sentence(Rosenbrock, 2, -0.1) == "r is -0.1 and must be at least 0"
