"""Numbers for what pictures of proposed updates show: size, momentum, time scale, steps.

The observations of appendix B are made by eye: "bigger updates", "some kind of momentum", "a
shorter time-scale", "step-like". Here each is a number, defined before it is measured.
"""

import numpy as np
from jaxtyping import Bool, Float

STEP_WIDTH = 0.1
"""A step happens within this part of the range of gradients …"""
STEP_SHARE = 0.5
"""… if at least this part of all the change in g does; a straight line has `STEP_WIDTH` of it."""
STEP_HEIGHT = 0.5
"""A step is seen if g changes by at least this part of the largest |g| on the curve. A ripple on an
update that hardly depends on the gradient is not a step: the preprocessing of appendix A passes on
the sign of ∇, and gives such a ripple to an LSTM that has learned nothing."""


def size(updates: Float[np.ndarray, "steps coordinates"]) -> float:
    """Return the mean of |g|."""
    return float(np.abs(np.asarray(updates, np.float64)).mean())


def carried_on(
    updates: Float[np.ndarray, "steps coordinates"],
    gradients: Float[np.ndarray, "steps coordinates"],
) -> float:
    """Return the share of updates g_t that go against the previous gradient, ∇_{t−1}.

    If updates depend on ∇_t alone and go against it, in whatever way, this is the share of
    gradients that keep their sign. If updates carry on past gradients, as by momentum, it is
    larger.
    """
    before, after = np.sign(gradients[:-1]), np.sign(updates[1:])
    counted = before != 0
    return float((after == -before)[counted].mean()) if counted.any() else float("nan")


def autocorrelation(updates: Float[np.ndarray, "steps coordinates"]) -> Float[np.ndarray, " lags"]:
    """Return the correlation of updates with those of the same coordinate some steps before.

        ρ_k = Σ_t (g_t − ḡ)(g_{t+k} − ḡ) / Σ_t (g_t − ḡ)²

    for k = 0, 1, … up to half of the steps, averaged over the coordinates whose updates change.
    """
    g = np.asarray(updates, np.float64)
    g = g - g.mean(0)
    squares = (g**2).sum(0)
    # A coordinate that never moves has no correlation.
    g = g[:, squares > 0] / np.sqrt(squares[squares > 0])
    steps = len(g)
    if not g.size:
        return np.full(steps // 2 + 1, np.nan)
    return np.array([(g[: steps - k] * g[k:]).sum(0).mean() for k in range(steps // 2 + 1)])


def time_scale(updates: Float[np.ndarray, "steps coordinates"]) -> float:
    """Return the number of steps after which the autocorrelation of updates has fallen to 1/e."""
    rho = autocorrelation(updates)
    if np.isnan(rho).any():
        return float("nan")
    below = np.flatnonzero(rho < np.exp(-1))
    # If it never falls so far, half of the steps is a lower bound.
    if not len(below):
        return float(len(rho) - 1)
    # Between steps the autocorrelation is taken to be linear.
    k = int(below[0])
    return float(k - 1 + (rho[k - 1] - np.exp(-1)) / (rho[k - 1] - rho[k]))


def steps_of(
    curves: Float[np.ndarray, "*curves points"],
) -> tuple[Float[np.ndarray, "*curves"], Float[np.ndarray, "*curves"]]:
    """Return how step-like functions of the gradient are, and how much g changes in the step.

    The first is the largest part of all the change in g, up and down, that falls within
    `STEP_WIDTH` of the range of gradients: 1 for a step, 0 for a constant.
    """
    change = np.diff(np.asarray(curves, np.float64), axis=-1)
    width = max(1, round(STEP_WIDTH * change.shape[-1]))

    def within(values: np.ndarray) -> np.ndarray:
        # Sums over every window of this width, as differences of the running total.
        total = np.cumsum(np.concatenate([np.zeros((*values.shape[:-1], 1)), values], -1), -1)
        return total[..., width:] - total[..., :-width]

    moved = within(np.abs(change))
    at = moved.argmax(-1)[..., None]
    total = np.abs(change).sum(-1)
    share = np.divide(moved.max(-1), total, out=np.zeros_like(total), where=total > 0)
    return share, np.take_along_axis(within(change), at, -1)[..., 0]


def are_steps(curves: Float[np.ndarray, "*curves points"]) -> Bool[np.ndarray, "*curves"]:
    """Return which functions of the gradient are steps: sharp, and high enough to be seen."""
    share, change = steps_of(curves)
    largest = np.abs(np.asarray(curves, np.float64)).max(-1)
    return (share >= STEP_SHARE) & (np.abs(change) >= STEP_HEIGHT * largest) & (largest > 0)
