"""Losses: closed forms, limits, and what a solution has."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from metadescent.bench.fitting import Model
from metadescent.bench.models.autoencoders import Autoencoder, VariationalAutoencoder
from metadescent.bench.models.contrastive import Contrastive
from metadescent.bench.models.heat import HeatEquation, solution
from metadescent.bench.models.lotka_volterra import LotkaVolterra
from metadescent.bench.models.noisy_quadratic import NoisyQuadratic, curvatures
from metadescent.bench.models.perceptron import MLP
from metadescent.bench.models.supervised import (
    OBJECTIVES,
    FromPixels,
    Network,
    Scaled,
    Supervised,
)

KEY, OTHER = jax.random.split(jax.random.key(0))
PICTURES = jax.random.randint(KEY, (6, 2, 2, 1), 0, 256).astype(jnp.uint8)


def test_objectives_are_their_formulas() -> None:
    outputs = np.asarray(jax.random.normal(KEY, (4, 3)))
    labels, y = np.array([0, 2, 1, 1]), np.array([[0.0, 1.0, 1.0]] * 4)
    odds = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    p = 1 / (1 + np.exp(-outputs))
    expected = {
        "softmax": -np.log(odds[np.arange(4), labels]).mean(),
        "one-hot": ((outputs - np.eye(3)[labels]) ** 2).sum(1).mean(),
        "logistic": -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(),
        "squared": ((outputs - y) ** 2).mean(),
    }
    assert expected.keys() == OBJECTIVES.keys()
    for name, objective in OBJECTIVES.items():
        target = labels if name in ("softmax", "one-hot") else y
        value = objective(jnp.asarray(outputs), jnp.asarray(target))
        np.testing.assert_allclose(value, expected[name], rtol=1e-5)


def test_bytes_become_numbers_and_a_loss_is_scaled() -> None:
    network = MLP((4, 3))
    model = Supervised(FromPixels(network, 0.5, 0.25), "softmax")
    theta, labels = model.init(KEY), jnp.arange(6) % 3
    plain = Supervised(network, "softmax").loss(
        theta, ((PICTURES / 255 - 0.5) / 0.25, labels), None
    )
    np.testing.assert_allclose(model.loss(theta, (PICTURES, labels), None), plain, rtol=1e-5)
    thousandth = Scaled(model, 1e-3).loss(theta, (PICTURES, labels), None)
    np.testing.assert_allclose(thousandth, 1e-3 * plain, rtol=1e-5)


def test_an_autoencoder_that_says_nothing_loses_log_2_a_pixel() -> None:
    model = Autoencoder(MLP((4, 3, 4)))
    nothing = jax.tree.map(jnp.zeros_like, model.init(KEY))
    np.testing.assert_allclose(model.loss(nothing, PICTURES, None), np.log(2), rtol=1e-6)


def test_noise_is_drawn_by_the_key_and_is_the_same_in_measurements() -> None:
    size = Contrastive(MLP((4, 3)), 3)
    for model in (Autoencoder(MLP((4, 3, 4)), 0.5), variational(), size):
        theta = model.init(KEY)
        losses = [model.loss(theta, PICTURES, key) for key in (None, None, KEY, OTHER)]
        assert losses[0] == losses[1]
        assert len({*map(float, losses)}) == 3


def variational() -> VariationalAutoencoder:
    return VariationalAutoencoder(MLP((4, 3, 4)), MLP((2, 3, 4)))


def test_the_divergence_is_that_of_normal_distributions() -> None:
    """With a decoder that says nothing, the loss is 4 log 2 and the divergence."""
    model = variational()
    theta = jax.tree.map(jnp.zeros_like, model.init(KEY))
    np.testing.assert_allclose(model.loss(theta, PICTURES, KEY), 4 * np.log(2), rtol=1e-6)
    mean, log_std = np.array([1.0, -2.0]), np.array([0.5, -1.0])
    theta["encoder"][-1]["b"] = jnp.asarray([*mean, *log_std])
    # E[log N(z; μ, σ²) − log N(z; 0, 1)] by many draws.
    z = mean + np.exp(log_std) * np.random.default_rng(0).normal(size=(200_000, 2))
    drawn = -log_std - 0.5 * ((z - mean) / np.exp(log_std)) ** 2 + 0.5 * z**2
    divergence = model.loss(theta, PICTURES, KEY) - 4 * np.log(2)
    np.testing.assert_allclose(divergence, drawn.sum(1).mean(), rtol=0.01)


def test_views_that_look_alike_are_found_by_chance() -> None:
    model = Contrastive(MLP((4, 3)), 3)
    theta = model.init(KEY)
    # Whatever is seen, the features are (0, 1, 0).
    theta[-1] = {"w": jnp.zeros((4, 3)), "b": jnp.asarray([0.0, 1.0, 0.0])}
    np.testing.assert_allclose(model.loss(theta, PICTURES, KEY), np.log(3), rtol=1e-6)


def test_views_are_found_when_they_differ_from_others() -> None:
    """Without noise, and each picture of its own features, temperature 0 finds them all."""
    model = Contrastive(MLP((4, 4)), 4, noise=0.0, temperature=0.01)
    theta = [{"w": jnp.eye(4), "b": 1e-3 * jnp.ones(4)}]
    pictures = (255 * jnp.eye(4)).astype(jnp.uint8).reshape(4, 2, 2, 1)
    # A pixel is hidden half of the time, and then its view is that of nothing.
    losses = [model.loss(theta, pictures, key) for key in jax.random.split(KEY, 40)]
    assert min(losses) < 0.2 < max(losses)


def test_pictures_of_several_groups_are_told_from_those_of_their_own() -> None:
    """As many groups as there are pictures leave nothing to be told apart."""
    alone = Contrastive(MLP((4, 3)), 1)
    assert float(alone.loss(alone.init(KEY), PICTURES, KEY)) == pytest.approx(0, abs=1e-6)


class Solved(Network):
    """The solution in place of a network, and something that is none."""

    error: float = 0.0

    def plan(self) -> Any:
        return jnp.zeros(1)

    def apply(self, theta: Any, x: jax.Array, key: Any) -> jax.Array:
        return (solution(*x.T) + self.error * jnp.sin(2 * jnp.pi * x[:, 0]))[:, None]


def test_the_solution_of_the_heat_equation_has_no_residual() -> None:
    points = jax.random.uniform(KEY, (50, 2))
    with jax.enable_x64(True):
        x = jnp.asarray(np.asarray(points), jnp.float64)
        losses = [
            float(HeatEquation(Solved(error)).loss(jnp.zeros(1), x, None)) for error in (0.0, 0.1)
        ]
    assert losses[0] < 1e-12
    assert losses[1] > 1e-3


def test_populations_are_those_of_another_solver() -> None:
    system = LotkaVolterra(times=10, interval=0.3)
    theta = np.log([1.2, 0.8, 0.7, 1.1])
    alpha, beta, delta, gamma = np.exp(theta)

    def slope(t: float, z: np.ndarray) -> list[float]:
        x, y = z
        return [x * (alpha - beta * y), y * (delta * x - gamma)]

    times = 0.3 * np.arange(1, 11)
    solved = solve_ivp(slope, (0, 3), [1.5, 0.5], t_eval=times, rtol=1e-9, atol=1e-9)
    path = system.apply(jnp.asarray(theta), jnp.log(jnp.asarray([[1.5, 0.5]])), None)[0]
    np.testing.assert_allclose(np.exp(path), solved.y.T, rtol=2e-3)


def test_a_quadratic_is_least_at_the_mean_of_its_centres() -> None:
    model: Model = NoisyQuadratic(5)
    centres = jax.random.normal(KEY, (40, 5))
    slope = jax.jit(jax.grad(lambda theta: model.loss(theta, centres, None)))
    np.testing.assert_allclose(slope(centres.mean(0)), 0, atol=1e-6)
    np.testing.assert_allclose(slope(centres.mean(0) + 1), curvatures(5), rtol=1e-4)
    np.testing.assert_allclose(curvatures(5), 1 / np.arange(1, 6), rtol=1e-6)
