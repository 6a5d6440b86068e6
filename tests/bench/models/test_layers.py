"""Layers: what is drawn has the variance that is said, normalized values mean 0 and variance 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.bench.models.layers import (
    ToDraw,
    drawn,
    drop_out,
    glorot,
    he,
    norm_parameters,
    normalize,
    small,
    start_for,
)

KEY = jax.random.key(0)


def test_a_plan_is_drawn_leaf_by_leaf_and_arrays_are_kept() -> None:
    theta = drawn(
        KEY, {"a": ToDraw((400, 5), 2.0), "b": jnp.arange(3.0), "c": ToDraw((2000,), 0.5)}
    )
    assert (theta["a"].shape, theta["c"].shape) == ((400, 5), (2000,))
    np.testing.assert_array_equal(theta["b"], [0, 1, 2])
    np.testing.assert_allclose([theta["a"].std(), theta["c"].std()], [2.0, 0.5], rtol=0.1)
    # No number is drawn for two leaves.
    numbers = np.concatenate([theta["a"].ravel() / 2, theta["c"] * 2])
    assert len(np.unique(numbers)) == 4000


def test_a_plan_of_arrays_alone_is_kept() -> None:
    np.testing.assert_array_equal(drawn(KEY, [jnp.ones(2)])[0], [1, 1])


@pytest.mark.parametrize(
    ("start", "shape", "variance"),
    [
        (glorot, (30, 10), 2 / 40),
        (he, (30, 10), 2 / 30),
        (small, (30, 10), 1 / 90),
        # A filter of 3 × 3 has nine inputs for each channel.
        (glorot, (3, 3, 4, 8), 2 / (9 * 12)),
        (he, (3, 3, 4, 8), 2 / 36),
    ],
)
def test_weights_begin_with_the_usual_variance(start, shape, variance: float) -> None:
    assert start(*shape).shape == shape
    assert start(*shape).std ** 2 == pytest.approx(variance)


def test_he_s_weights_keep_the_size_of_what_is_rectified() -> None:
    assert start_for("relu") is he
    assert start_for("tanh") is glorot
    x = jax.random.normal(KEY, (2000, 50))
    w = drawn(jax.random.key(1), he(50, 200))
    np.testing.assert_allclose((jax.nn.relu(x @ w) ** 2).mean(), (x**2).mean(), rtol=0.1)


def test_normalized_values_have_mean_0_and_variance_1() -> None:
    x = 3 + 2 * jax.random.normal(KEY, (20, 4, 30))
    parameters = norm_parameters("layer", 30)
    for norm, axes in (("layer", (2,)), ("batch", (0, 1))):
        y = normalize(norm, parameters, x)
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
        np.testing.assert_allclose(y.var(axes), 1, rtol=1e-3)
    assert normalize("none", {}, x) is x
    assert norm_parameters("none", 30) == {}


def test_scale_and_shift_are_of_a_feature() -> None:
    x = jax.random.normal(KEY, (20, 3))
    layer = {"scale": jnp.asarray([1.0, 2.0, 3.0]), "shift": jnp.asarray([0.0, 1.0, -1.0])}
    plain = normalize("batch", norm_parameters("batch", 3), x)
    np.testing.assert_allclose(
        normalize("batch", layer, x), plain * layer["scale"] + layer["shift"], rtol=1e-6
    )


def test_dropout_keeps_the_mean_and_a_measurement_everything() -> None:
    x = jnp.ones(10_000)
    assert drop_out(x, 0.3, None) is x
    y = np.asarray(drop_out(x, 0.3, KEY))
    # Within five standard deviations.
    assert abs((y == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / 10_000) ** 0.5
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-6)
