"""What the panels of a figure compare, and the running of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.paper import Budget
from metadescent.figures.paper.kept import has, searches
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.registry import make_problem

BASELINES = ("sgd", "nag", "rmsprop", "adam")


Kind = Literal[
    "functions",
    "networks",
    "sweeps",
    "convolutions",
    "pictures",
    "large_pictures",
    "huge_pictures",
    "vast_pictures",
]
"""The fields of `Budget` that are seeds."""

POINT = 20
"""Steps from one measurement on held-out data to the next."""


class Setting(NamedTuple):
    """What a panel runs, how many of a budget's seeds it takes, and how it is headed.

    `beside` names further learned optimizers. With `held_out`, a problem, losses on other data are
    measured too. Baselines are tuned on `tuned_on`, if that is another problem.
    """

    problem: str
    optimizer: str
    num_steps: int
    seeds: Kind
    title: str
    y_label: str
    baselines: tuple[str, ...] = BASELINES
    beside: tuple[str, ...] = ()
    held_out: str = ""
    tuned_on: str = ""

    @property
    def search(self) -> str:
        """Return the problem that baselines are tuned on."""
        return self.tuned_on or self.problem

    @property
    def reports(self) -> int:
        """Return how many reports of progress the panel gives."""
        return 1 + len(self.beside) + 2 * len(self.baselines)


def searches_of(
    settings: Mapping[str, Setting], effort: Budget, kept: Path | None = None
) -> list[tuple[str, str, int, int]]:
    """Return the searches for rates that `run` will do: baseline, problem, steps and seeds.

    Arguments:
        kept: file of searches that come with the experiment and are not done again.

    Example:
        >>> from metadescent.figures.paper import BUDGETS
        >>> one = Setting("quadratic", "quadratic-lstm", 100, "functions", "", "", ("adam",))
        >>> searches_of({"left": one}, BUDGETS["smoke"])
        [('adam', 'quadratic', 10, 32)]
    """
    found = []
    for panel, setting in settings.items():
        sizes = effort.steps(setting.num_steps), getattr(effort, setting.seeds).tune
        for name in setting.baselines:
            if not (kept and has(kept, panel, name, *sizes)):
                found.append((name, setting.search, *sizes))
    return found


def run(
    settings: Mapping[str, Setting],
    learned: Mapping[str, LearnedOptimizer],
    effort: Budget,
    *,
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    kept: Path | None = None,
) -> dict[str, Comparison]:
    """Compare, panel by panel, one learned optimizer with baselines tuned for that very panel.

    All problems are made before anything runs, so that missing data is found out at once; settings
    of the same problem share it.

    Arguments:
        kept: file of searches that come with the experiment (see `metadescent.figures.paper.kept`).

    Raises:
        UserError: if data is missing.
    """
    names = dict.fromkeys(
        name
        for setting in settings.values()
        for name in (setting.problem, setting.held_out, setting.tuned_on)
        if name
    )
    problems = {name: make_problem(name, data_dir) for name in names}
    panels: dict[str, Comparison] = {}
    for name, setting in settings.items():
        seeds = getattr(effort, setting.seeds)
        num_steps = effort.steps(setting.num_steps)
        options: dict[str, Any] = {}
        if setting.held_out:
            every = POINT if num_steps % POINT == 0 else 1
            options = {"held_out": problems[setting.held_out], "every": every}
        if setting.tuned_on:
            options["tuned_on"] = problems[setting.tuned_on]
        if kept:
            options["searched"] = searches(
                kept,
                name,
                problems[setting.search],
                problem_keys(seed)[0],
                num_steps=num_steps,
                num_seeds=seeds.tune,
            )
        panels[name] = compare(
            {name: learned[name] for name in (setting.optimizer, *setting.beside)},
            problems[setting.problem],
            setting.problem,
            baselines=setting.baselines,
            num_steps=num_steps,
            num_seeds=seeds.report,
            tune_seeds=seeds.tune,
            seed=seed,
            cache=cache,
            progress=lambda text, name=name: progress(f"{name}: {text}"),
            **options,
        )
    return panels
