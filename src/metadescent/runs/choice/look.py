"""A look at a family: its size, whether f draws minibatches, and how tuned baselines do on it.

In the end the trained optimizer is compared with these baselines. Their rates give the scale of
its steps, and their curves the levels that it is to reach.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError
from metadescent._levels import Level
from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import (
    apart,
    blown_up,
    final_loss,
    learning_curves,
    or_infinite,
)
from metadescent.descent.episode import draw
from metadescent.descent.standings import tolerance
from metadescent.descent.tuning import (
    Progress,
    Tuned,
    Within,
    baselines_for,
    draws_minibatches,
)
from metadescent.descent.tuning_cache import tune_each
from metadescent.descent.unrolling import exact
from metadescent.problems.base import Parts, Problem
from metadescent.runs.choice.sizes import FEWEST, Sizes

SHARES = (0.1, 0.25, 0.5)
"""Shares of the horizon after which the loss of the best baseline is a level."""
EARLY, LATE = 0.5, 2.0
"""Weights of each level before the end, and of the end, which counts most."""
LEAST = 1e-3
"""A share of the whole way down; smaller differences do not decide on a family."""
TINY = 1e-30
"""Replaces a way down of 0."""
EPS = 1e-8
"""The ε that Adam adds to the size of a gradient."""


class Look(NamedTuple):
    """What was seen of a family.

    sizes        what it costs
    minibatches  whether f draws them
    rates        of the tuned baselines, by name
    scale        of the first steps of the tuned Adam
    best         the baseline of one gradient a step that ends lowest
    ends         the final losses of all baselines
    floor        the lowest of the final losses
    delta        how far the best ends above the floor, but at least `LEAST` of the way down
    levels       of the best's mean curve, early and late
    """

    sizes: Sizes
    minibatches: bool
    rates: dict[str, float]
    scale: float
    best: str
    ends: dict[str, float]
    floor: float
    delta: float
    levels: tuple[Level, ...]


def look_at(
    parts: Parts,
    keys: tuple[PRNGKeyArray, PRNGKeyArray],
    *,
    steps: int,
    sizes: Sizes,
    progress: Progress = lambda _: None,
    within: Within = lambda *_: None,
) -> Look:
    """Tune the baselines on problems of one key, and run them on problems of another.

    Arguments:
        parts: of p(f): rates are tuned on what φ learns from, and curves taken on what it is
            validated on.
        keys: of the problems that rates are tuned on, and of those that curves are taken on, which
            are the validation's.
        steps: the horizon.
        sizes: how many problems of each key there are.
        progress: called with a word on each thing done.
        within: called with a word on how far a search has come, and with the share.

    Raises:
        UserError: if f or ∇f is not finite at θ₀, ∇f is 0 there, no rate serves, or all baselines
            blow up on many problems.
    """
    problem, validated_on = parts.learned_from, parts.validated_on
    names = names_for(problem)
    # A line search of Optax finds its own step length, so tuning it takes long and changes little.
    usual = {
        name: Tuned(1.0, [], [], "usual") for name in names if BASELINES[name].searches_along_line
    }
    tuned = tune_each(
        names,
        problem,
        keys[0],
        steps,
        sizes.looked_at,
        None,
        progress,
        searched=usual,
        within=within,
    )
    means, plain = {}, {}
    for name, search in tuned.items():
        m = BASELINES[name].at(search.rate, steps)
        curves = learning_curves(
            m, validated_on, keys[1], num_steps=steps, num_seeds=sizes.validated
        )
        means[name] = mean_of(curves)
        if not BASELINES[name].searches_along_line:
            plain[name] = np.asarray(curves)
        progress(f"ran {name}")
    check_tasks(plain)
    key = jax.random.key(0)
    rates = {name: search.rate for name, search in tuned.items()}
    slope = float(slope_of(validated_on, keys[1], min(FEWEST, sizes.validated)))
    return look_of(means, rates, sizes, draws_minibatches(problem, key), slope)


def check_tasks(curves: Mapping[str, Float[np.ndarray, "problems steps"]]) -> None:
    """Raise a UserError if all baselines meet an f that is not finite, or blow up on many problems.

    Then every mean over problems would be NaN, and nothing could be learned from it.
    """
    names = ", ".join(curves)
    nowhere = np.all([~np.isfinite(of_one[:, 0]) for of_one in curves.values()], axis=0)
    if nowhere.any():
        raise UserError(
            f"f is not finite on {nowhere.sum()} of {len(nowhere)} problems after one step of any "
            f"of {names}; leave out the tasks on which it is not finite, or let f be finite "
            "everywhere"
        )
    if not any(np.isfinite(final_loss(mean_of(of_one))) for of_one in curves.values()):
        least = min(int(blown_up(of_one).sum()) for of_one in curves.values())
        raise UserError(
            f"f blows up or is not finite on at least {least} of {len(nowhere)} problems, "
            f"whichever of {names} it is; leave out the tasks on which it is not finite, or let f "
            "be finite everywhere"
        )


@eqx.filter_jit
def slope_of(problem: Problem, key: PRNGKeyArray, num_problems: int) -> Float[Array, ""]:
    """Return the mean size of a coordinate of ∇f at θ₀."""
    fs, keys = draw(problem, key, num_problems)
    _, gradients = exact(fs, fs.init(keys.theta), keys.minibatch)
    return jnp.concatenate([jnp.abs(x).ravel() for x in jax.tree.leaves(gradients)]).mean()


def names_for(problem: Problem) -> list[str]:
    """Return the baselines that a family is looked at by; AdamW has Adam's scale."""
    return [name for name in baselines_for(problem) if name != "adamw"]


def look_of(
    means: dict[str, Float[np.ndarray, " steps"]],
    rates: dict[str, float],
    sizes: Sizes,
    minibatches: bool,
    slope: float = 1.0,
) -> Look:
    """Return what follows from the mean curves of tuned baselines, and the size of ∇f at θ₀."""
    ends = {name: float(final_loss(mean)) for name, mean in means.items()}
    plain = [name for name in means if not BASELINES[name].searches_along_line]
    best = min(plain, key=lambda name: ends[name])
    floor = min(ends.values())
    # At some θ₀ f may not be finite although its gradient is.
    begin = float(np.max(means[best], where=np.isfinite(means[best]), initial=ends[best]))
    delta = max(ends[best] - floor, LEAST * abs(begin - floor)) or TINY
    # If the gradient is small beside ε, Adam's steps are smaller than its rate.
    scale = rates["adam"] * slope / (slope + EPS)
    levels = levels_of(means[best], floor)
    return Look(sizes, minibatches, rates, scale, best, ends, floor, delta, levels)


def levels_of(best: Float[np.ndarray, " steps"], floor: float) -> tuple[Level, ...]:
    """Return levels: losses of the best baseline early, late and at its end, and the floor."""
    running, steps, end = np.minimum.accumulate(best), len(best), float(final_loss(best))
    losses = [(float(running[max(1, round(share * steps)) - 1]), EARLY) for share in SHARES]
    close, close_to_floor = (tolerance(loss, float(best[0])) for loss in (end, floor))
    losses.append((end + close, LATE))
    # If a line search ends lower, the best baseline would need more than T steps to get there.
    lower = [(floor + close_to_floor, 1.0)] if floor < end - close else []
    reached = [(loss, np.flatnonzero(best <= loss), weight) for loss, weight in losses + lower]
    return tuple(
        Level(loss, float(at[0] + 1) if len(at) else float(steps), weight)
        for loss, at, weight in reached
    )


def mean_of(curves: Any) -> Float[np.ndarray, " steps"]:
    """Return the mean over problems, without the few on which the loss blew up."""
    losses = or_infinite(np.asarray(curves, np.float64))
    return losses[~apart(blown_up(losses))].mean(0)
