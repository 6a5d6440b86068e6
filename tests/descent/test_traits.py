"""Numbers for what the eye sees: against processes whose numbers are known."""

import numpy as np
import pytest

from metadescent.descent.traits import (
    are_steps,
    autocorrelation,
    carried_on,
    size,
    steps_of,
    time_scale,
)

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(2000, 20))


def momentum(beta: float) -> np.ndarray:
    velocity = np.zeros_like(NOISE)
    for t in range(1, len(NOISE)):
        velocity[t] = beta * velocity[t - 1] + NOISE[t]
    return velocity


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_momentum_has_the_autocorrelation_of_its_decay(beta: float) -> None:
    rho = autocorrelation(momentum(beta))
    np.testing.assert_allclose(rho[:6], beta ** np.arange(6), atol=0.03)
    assert time_scale(momentum(beta)) == pytest.approx(-1 / np.log(beta), rel=0.12)


def test_noise_has_none() -> None:
    np.testing.assert_allclose(autocorrelation(NOISE)[1:10], 0.0, atol=0.03)
    assert time_scale(NOISE) == pytest.approx(1 - np.exp(-1), abs=0.03)


def test_the_scale_and_the_mean_of_updates_do_not_matter_to_their_time_scale() -> None:
    assert time_scale(3.0 * momentum(0.9) + 7.0) == pytest.approx(time_scale(momentum(0.9)))


def test_coordinates_that_never_change_are_left_out() -> None:
    with_one = np.concatenate([NOISE, np.ones((2000, 1))], axis=1)
    assert time_scale(with_one) == pytest.approx(time_scale(NOISE))
    assert np.isnan(time_scale(np.ones((10, 2))))


def test_what_never_falls_lasts_for_half_of_the_steps() -> None:
    slow = np.cos(np.linspace(0, 0.5, 11))[:, None] * np.ones(2)
    assert time_scale(slow) <= 5


def test_size_is_the_mean_magnitude() -> None:
    assert size(-2 * np.abs(NOISE)) == pytest.approx(2 * np.abs(NOISE).mean())


X = np.linspace(-1, 1, 101)


@pytest.mark.parametrize(
    ("curve", "low", "high", "sign"),
    [
        (-X, 0.1, 0.1 + 1e-6, -1),
        (-np.sign(X - 0.4), 1.0, 1.0, -1),
        (np.tanh(30 * X), 0.9, 1.0, 1),
        (-(X**3), 0.1, 0.5, -1),
        (np.where(np.abs(X) < 0.5, 0.0, -X), 0.3, 0.7, -1),
    ],
)
def test_how_step_like(curve: np.ndarray, low: float, high: float, sign: int) -> None:
    share, change = steps_of(curve)
    assert low - 1e-9 <= share <= high
    assert np.sign(change) == sign


def test_a_line_has_the_share_of_its_window_and_a_step_all() -> None:
    shares, changes = steps_of(np.stack([-X, -np.sign(X)]))
    assert shares.round(2).tolist() == [0.1, 1.0]
    assert changes.round(2).tolist() == [-0.2, -2.0]


def test_what_alternates_is_its_own_opposite_a_step_later() -> None:
    alternating = np.array([[1.0], [-1.0]] * 50)
    assert autocorrelation(alternating)[:2].round(1).tolist() == [1.0, -1.0]
    # From 1 to −0.99, which it is of all 99 pairs, a straight line passes 1/e at 0.32.
    assert time_scale(alternating) == pytest.approx((1 - np.exp(-1)) / 1.99)


def test_a_constant_is_no_step() -> None:
    share, change = steps_of(np.ones((2, 3, 11)))
    assert share.shape == change.shape == (2, 3)
    assert not share.any()
    assert not change.any()


def test_steps_are_the_same_at_any_scale() -> None:
    share, change = steps_of(np.stack([np.tanh(5 * X), -1e-6 * np.tanh(5 * X)]))
    assert share[0] == pytest.approx(share[1])
    assert change[1] == pytest.approx(-1e-6 * change[0])


@pytest.mark.parametrize(
    ("curve", "is_step"),
    [
        (-np.sign(X), True),
        (np.sign(X - 0.4), True),
        (np.maximum(np.sign(X), 0), True),
        (-np.tanh(30 * X), True),
        (-X, False),
        (np.zeros_like(X), False),
        # Sharp, but on an update that hardly depends on the gradient.
        (1.0 - 0.05 * np.sign(X), False),
        (-3.0 + 0.2 * np.sign(X), False),
        (0.0 * X + np.nan, False),
    ],
)
def test_a_step_is_sharp_and_high_enough_to_be_seen(curve: np.ndarray, is_step: bool) -> None:
    for scale in (1.0, -1e-6):
        assert are_steps(scale * curve[None]).tolist() == [is_step]


GRADIENTS = 0.5 + NOISE


@pytest.mark.parametrize("rule", [lambda g: -g, lambda g: -np.sign(g), lambda g: -np.arctan(g**3)])
def test_a_rule_without_memory_carries_on_what_gradients_do(rule: object) -> None:
    """Whatever function of the gradient it is, if it goes against it."""
    kept = np.mean(np.sign(GRADIENTS[1:]) == np.sign(GRADIENTS[:-1]))
    assert carried_on(rule(GRADIENTS), GRADIENTS) == pytest.approx(kept)


def test_momentum_carries_on_more_and_a_drift_nothing() -> None:
    without = carried_on(-NOISE, NOISE)
    assert without == pytest.approx(0.5, abs=0.01)
    shares = [carried_on(-momentum(beta), NOISE) for beta in (0.3, 0.6)]
    assert without + 0.05 < shares[0] < shares[1]
    drift = np.random.default_rng(1).normal(size=20) * np.ones_like(NOISE)
    assert carried_on(drift, NOISE) == pytest.approx(0.5, abs=0.02)


def test_gradients_of_zero_say_nothing_of_what_is_carried_on() -> None:
    gradients = np.array([[1.0], [0.0], [1.0], [1.0]])
    assert carried_on(-gradients, gradients) == 0.5
    assert np.isnan(carried_on(np.ones((3, 2)), np.zeros((3, 2))))
