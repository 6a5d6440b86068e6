"""What tests of all experiments share: panels of known losses, and programs that stay."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pytest

from metadescent.descent.baselines import KNOWN
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import summarize
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.panels import LearningCurves, Setting

SEEDS = 12
HARD = np.exp(np.random.default_rng(0).normal(size=SEEDS))
HARD /= HARD.mean()


def runs_at(level: float, name: str, steps: int, width: float) -> np.ndarray:
    """Return losses whose mean is a level at every step, of problems that differ by far more.

    `width` is the noise of one optimizer's own, in parts of the level.
    """
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=SEEDS)
    own = noise - noise.mean()
    return np.outer(level * (HARD + width * own), np.ones(steps))


def panel_of(
    levels: Mapping[str, float],
    steps: int = 100,
    width: float = 0.01,
    held_out: Mapping[str, float] | None = None,
    every: int = 1,
) -> Comparison:
    """Return a panel of optimizers that stay at a level each; those that are no baselines learn."""
    losses = {name: runs_at(level, name, steps, width) for name, level in levels.items()}
    rates = {n: 0.1 if n in KNOWN else None for n in levels}
    outside = {n: runs_at(level, n, steps // every, width) for n, level in (held_out or {}).items()}
    return Comparison(
        "problem",
        steps,
        SEEDS,
        {name: summarize(runs, rates[name]) for name, runs in losses.items()},
        {},
        0.5,
        {name: summarize(runs, rates[name]) for name, runs in outside.items()},
        every,
        losses=losses,
        held_out_losses=outside,
    )


LEVELS = {"sgd": 0.45, "nag": 0.33, "rmsprop": 0.36, "adam": 0.34, "lbfgs": 0.42}
LEVELS |= {"rmsprop-0.9": 0.35, "nag-cosine": 0.26, "adamw": 0.25}
BEGUN = 2.0


def levels_of(setting: Setting, mine: float = 0.2, **changed: float) -> dict[str, float]:
    """Return levels such as the paper's: learned ones ahead, and far behind as they begin."""
    levels = dict.fromkeys((*setting.learned, *setting.by_hand), mine)
    levels |= {as_begun(name): BEGUN for name in setting.controls}
    levels |= {name: LEVELS[name] for name in setting.baselines}
    return levels | {name: level for name, level in changed.items() if name in levels}


@pytest.fixture
def panel() -> Callable[..., Comparison]:
    """Make panels of known losses: of levels by name, or of a setting with some of them changed."""

    def make(of: Mapping[str, float] | Setting, mine: float = 0.2, **options: Any) -> Comparison:
        given = {n: options.pop(n) for n in [*options] if n in LEVELS}
        sizes = ("steps", "width", "held_out", "every")
        given |= {n: options.pop(n) for n in [*options] if n not in sizes}
        if not isinstance(of, Setting):
            return panel_of(of, **options)
        levels = levels_of(of, mine, **given)
        if of.held_out and "held_out" not in options:
            options |= {"held_out": levels, "every": 20}
        return panel_of(levels, **{"steps": min(of.num_steps, 200)} | options)

    return make


@pytest.fixture
def failing(panel: Callable) -> Callable[..., list[str]]:
    """Say which claims of a figure fail, with some panels other than where all hold."""

    def fail(experiment: LearningCurves, changed: Panels | None = None) -> list[str]:
        return [claim.id for claim in judged(experiment, panel, changed) if not claim.holds]

    return fail


@pytest.fixture
def claims(panel: Callable) -> Callable[..., dict[str, Any]]:
    """Judge a figure whose panels are such that all claims hold, but for some that are changed."""

    def judge_all(experiment: LearningCurves, changed: Panels | None = None) -> dict[str, Any]:
        return {claim.id: claim for claim in judged(experiment, panel, changed)}

    return judge_all


def judged(experiment: LearningCurves, panel: Callable, changed: Panels | None) -> list[Any]:
    from metadescent.figures.paper.claims import judge_claims

    panels = {
        name: panel(setting, **AHEAD.get((experiment.figure, name), {}))
        for name, setting in experiment.settings.items()
    }
    return judge_claims(
        CRITERIA[experiment.figure], experiment.records(panels | dict(changed or {}))
    )


# Where levels other than the usual ones are such as the claims have them.
AHEAD: dict[tuple[str, str], dict[str, Any]] = {
    ("figure5", "relu"): {"mine": 0.9},
    ("figure7", "cifar5"): {"mine": 0.17},
    ("figure7", "cifar2"): {"mine": 0.14},
    **{
        ("appendix-d", name): {"mine": 0.01, f"{kind}-lstm": 0.4}
        for name, kind in (
            *(("rotated-10", "ill-conditioned"), ("rotated-20", "ill-conditioned")),
            *(("logistic", "ill-conditioned"), ("quadratic", "quadratic"), ("mnist", "mnist")),
        )
    },
}


@pytest.fixture(autouse=True)
def cleared(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Keep the programs of other tests; one entry for each time that they would have gone."""
    times: list[None] = []
    monkeypatch.setattr(jax, "clear_caches", lambda: times.append(None))
    return times
