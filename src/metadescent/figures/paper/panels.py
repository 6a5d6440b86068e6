"""Experiments with panels of learning curves: learned optimizers and tuned baselines.

Each learned optimizer has a control, the same rule as it begins.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from metadescent.descent.baselines import STANDARD
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import untuned
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper.budgets import Budget, Kind
from metadescent.figures.paper.claims import judge_claims, quantities_of
from metadescent.figures.paper.costs import with_costs
from metadescent.figures.paper.criterion import Criterion
from metadescent.figures.paper.experiment import Context, Experiment, Panels, Reproduction
from metadescent.figures.paper.kept import FOLDER, is_kept, kept_searches
from metadescent.figures.paper.records import Record, record_of
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.registry import make_problem

if TYPE_CHECKING:
    import matplotlib.figure

# The number of steps between measurements on held-out data.
POINT = 20


class Setting(NamedTuple):
    """The runs of a panel, how many of a budget's seeds it takes, and its title."""

    problem: str
    optimizer: str  # empty if baselines are compared with each other
    num_steps: int
    seeds: Kind
    title: str
    y_label: str
    baselines: tuple[str, ...] = STANDARD
    beside: tuple[str, ...] = ()  # other learned optimizers
    same_start: tuple[str, ...] = ()  # those of `beside` that begin with another one's φ
    by_hand: Mapping[str, Callable[[], LearnedOptimizer]] = {}  # made when the panel is run
    held_out: str = ""  # a problem with other data, on which losses are measured too
    tuned_on: str = ""  # the problem that baselines are tuned on, if it is another
    timed: bool = False
    x_label: str = "Step"
    second_half: bool = False  # whether the first half of the steps is not drawn
    drawn: bool = True

    @property
    def learned(self) -> tuple[str, ...]:
        """Return the learned optimizers; the first one leads."""
        return tuple(name for name in (self.optimizer, *self.beside) if name)

    @property
    def controls(self) -> tuple[str, ...]:
        """Return the learned optimizers that are also run as they begin."""
        return tuple(name for name in self.learned if name not in self.same_start)

    @property
    def search(self) -> str:
        """Return the problem that baselines are tuned on."""
        return self.tuned_on or self.problem

    @property
    def reports(self) -> int:
        """Return how many reports of progress the panel gives."""
        # A baseline has two reports: it is tuned and then run.
        rules = len(self.learned) + len(self.controls) + len(self.by_hand)
        return rules + 2 * len(self.baselines) + self.timed

    def panel(self, curves: Mapping[str, Curve], **options: Any) -> Panel:
        """Return curves as a panel of the figure."""
        texts = {"title": self.title, "x_label": self.x_label, "y_label": self.y_label}
        return Panel(curves, **{**texts, **options})


@dataclass
class LearningCurves(Experiment):
    """An experiment whose claims are judged on panels of learning curves."""

    figure: str
    settings: Mapping[str, Setting]
    criteria: Sequence[Criterion]
    draw: "Callable[[Panels], matplotlib.figure.Figure] | None" = None  # None: panels side by side
    labels: Mapping[str, str] | None = None
    # Data and compiled programs are released after the panels of each problem, because all together
    # would need more memory maps than Linux allows a process.
    one_by_one: bool = False

    def __post_init__(self) -> None:
        """Derive from the settings which optimizers run, and how many reports there are."""
        settings = self.settings.values()
        self.optimizers = tuple(dict.fromkeys(name for s in settings for name in s.learned))
        self.units = sum(setting.reports for setting in settings)
        # The searches for rates that come with the package, if there are any.
        self.kept = FOLDER / f"{self.figure}.json"

    def run(self, context: Context) -> Reproduction:
        """Run all panels and judge them."""
        panels: dict[str, Comparison] = {}
        for settings in self._groups():
            panels |= compare_panels(settings, context, self._kept(context.seed))
            if self.one_by_one:
                jax.clear_caches()
        records = self.records(panels)
        claims = judge_claims(self.criteria, records)
        return Reproduction(self.figure, panels, records, claims, lambda: self.plot(panels))

    def records(self, panels: Panels) -> dict[str, Record]:
        """Return the values of each panel's runs, as far as its claims need them."""
        return {
            name: record_of(
                panel,
                [
                    quantity
                    for criterion in self.criteria
                    if name in criterion.panels
                    for quantity in quantities_of(criterion)
                ],
            )
            for name, panel in panels.items()
        }

    def plot(self, panels: Panels) -> "matplotlib.figure.Figure":
        """Draw measured panels."""
        if self.draw is not None:
            return self.draw(panels)
        labels = self.labels or dict.fromkeys(self.optimizers, "LSTM")
        return draw_curves(
            [
                setting.panel(
                    panels[name].curves,
                    first_step=panels[name].steps // 2 + 1 if setting.second_half else 1,
                    labels=labels,
                )
                for name, setting in self.settings.items()
                if setting.drawn
            ]
        )

    def searches(self, budget: Budget, seed: int) -> list[tuple[str, str, int, int]]:
        """Return the searches that do not come with the package."""
        return searches_of(self.settings, budget, self._kept(seed))

    def _kept(self, seed: int) -> Path | None:
        """Return the file of searches for this seed; there is one for seed 0 only."""
        return None if seed else self.kept

    def _groups(self) -> list[Mapping[str, Setting]]:
        if not self.one_by_one:
            return [self.settings]
        by_problem = itertools.groupby(self.settings.items(), lambda item: item[1].problem)
        return [dict(items) for _, items in by_problem]


def searches_of(
    settings: Mapping[str, Setting], budget: Budget, kept: Path | None = None
) -> list[tuple[str, str, int, int]]:
    """Return the searches for rates of `compare_panels`, without those in the file `kept`."""
    searches = []
    for panel, setting in settings.items():
        sizes = budget.steps(setting.num_steps), budget.seeds(setting.seeds).tune
        for name in setting.baselines if sizes[1] else ():
            if not (kept and is_kept(kept, panel, name, *sizes)):
                searches.append((name, setting.search, *sizes))
    return searches


def compare_panels(
    settings: Mapping[str, Setting], context: Context, kept: Path | None = None
) -> dict[str, Comparison]:
    """Compare, panel by panel, learned optimizers with baselines tuned for that panel."""
    names = dict.fromkeys(
        name
        for setting in settings.values()
        for name in (setting.problem, setting.held_out, setting.tuned_on)
        if name
    )
    # All problems are made before anything runs, so that missing data is noticed at once.
    problems = {name: make_problem(name, context.data_dir) for name in names}
    return {
        name: _compare_panel(name, setting, problems, context, kept)
        for name, setting in settings.items()
    }


def _compare_panel(
    name: str,
    setting: Setting,
    problems: Mapping[str, Problem],
    context: Context,
    kept: Path | None,
) -> Comparison:
    seeds = context.budget.seeds(setting.seeds)
    num_steps = context.budget.steps(setting.num_steps)
    tune_key, report_key = problem_keys(context.seed)
    options: dict[str, Any] = {}
    if setting.held_out:
        # The horizon of a small budget may not be a multiple of it.
        every = POINT if num_steps % POINT == 0 else 1
        options = {"held_out": problems[setting.held_out], "every": every}
    if context.kept:
        options["kept"] = context.kept
    if setting.tuned_on:
        options["tuned_on"] = problems[setting.tuned_on]
    if not seeds.tune:
        options["searched"] = untuned(setting.baselines)
    elif kept:
        sizes = {"num_steps": num_steps, "num_seeds": seeds.tune}
        problem = problems[setting.search]
        options["searched"] = kept_searches(kept, name, problem, tune_key, **sizes)
    rules = {rule: context.learned[rule] for rule in setting.learned}
    rules |= {rule: make() for rule, make in setting.by_hand.items()}
    rules |= {as_begun(rule): context.begun[rule] for rule in setting.controls}
    panel = compare(
        rules,
        problems[setting.problem],
        setting.problem,
        baselines=setting.baselines,
        num_steps=num_steps,
        num_seeds=seeds.report,
        tune_seeds=seeds.tune,
        seed=context.seed,
        cache=context.cache,
        progress=lambda text: context.progress(f"{name}: {text}"),
        **options,
    )
    if setting.timed:
        panel = with_costs(panel, rules, problems[setting.problem], report_key)
        context.progress(f"{name}: timed")
    return panel
