"""`reproduce`: a figure of the paper, with the verdicts on its claims."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from metadescent._errors import UserError, require
from metadescent.cli.command import Command
from metadescent.cli.words import ALL, DataDir, File, Scheduler, Style, Workers
from metadescent.runs.recipe import Recipe, recipe_from

if TYPE_CHECKING:
    from metadescent.figures.paper.experiment import Reproduction

PAGE = "reproduction.html"
"""The page that `all` writes beside the figures."""


@dataclass(frozen=True)
class Reproduce(Command):
    """Make a figure of the paper, and judge the paper's claims about it; `all` makes every one."""

    place = 11

    figure: Positional[Annotated[str, arg(metavar="FIGURE")]]
    """Such as figure4; all: each that is not made yet, and a page on all of them."""
    budget: Literal["smoke", "cpu", "paper"] = "cpu"
    """Seconds, minutes or hours."""
    retrain: bool = False
    """Train the optimizers anew instead of taking the pretrained ones."""
    json: File = None
    """Write panels and claims here."""
    out: Path = Path("runs")
    """Folder for the figure."""
    style: Style = "light"
    seed: int = 0
    """Draws the problems."""
    workers: Workers = 1
    scheduler: Scheduler = None
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        require("workers", self.workers, 1)
        require("seed", self.seed, 0, 2**32 - 1)
        if self.figure == ALL and self.json:
            raise UserError(
                f"all figures have a JSON each, in {self.out}, and none is written to {self.json}; "
                "leave --json out"
            )

    def outputs(self) -> list[Path]:
        """Return the files of the figure and, if asked for, of the numbers behind it."""
        from metadescent.figures.output import figure_paths
        from metadescent.figures.paper import experiment_of, experiments

        if self.figure == ALL:
            made = [path for name in experiments() for path in self._of(name).outputs()]
            return [*made, self.out / PAGE]
        experiment_of(self.figure)  # the name is checked before files are named after it
        return [*figure_paths(self.out / self.figure), *([self.json] if self.json else [])]

    def run(self) -> None:
        """Measure, judge, draw."""
        from metadescent.cli.baselines import quick_to_compile

        # Most of a smoke run is compilation.
        with quick_to_compile(self.budget == "smoke"):
            if self.figure == ALL:
                self._make_all()
            else:
                self._print(self._make())

    def _of(self, figure: str) -> "Reproduce":
        """Return the command for one of the figures."""
        return replace(self, figure=figure, json=self.out / f"{figure}.json")

    def _make_all(self) -> None:
        """Make the missing figures, and the page after each; go on if a figure cannot be made."""
        import jax

        from metadescent._files import write_atomically
        from metadescent.cli.console import output
        from metadescent.figures.paper import experiments
        from metadescent.runs.reproduced import count_claims, reproduction_page

        figures: list[dict[str, Any]] = []
        absent: dict[str, str] = {}
        page = self.out / PAGE
        for name in experiments():
            kept = self._of(name)._kept()
            try:
                figures.append(kept or self._of(name)._make().to_json())
            except UserError as error:
                absent[name] = str(error)
                output().print(f"{name}: {error}")
            else:
                made = figures[-1]
                holding, failing = (count_claims(made, holds) for holds in (True, False))
                verdicts = f"{holding} of {holding + failing} claims hold"
                said = "not judged" if self.budget == "smoke" else verdicts
                how = "made before" if kept else f"{made['made']['minutes']:.3g} minutes"
                output().print(f"{name}: {said}; {how}")
            # With other figures' programs a process would need more memory maps than Linux allows.
            jax.clear_caches()
            pictures = {made["figure"]: self._picture(made["figure"]) for made in figures}
            write_atomically(page, reproduction_page(figures, pictures, absent))
        output().print(f"Page: {page}")
        if absent:
            raise UserError(
                f"{len(absent)} of {len(experiments())} figures were not made: "
                f"{', '.join(absent)}; see above, and run the same command again"
            )

    def _picture(self, figure: str) -> bytes:
        return (self.out / f"{figure}.png").read_bytes()

    def _kept(self) -> dict[str, Any] | None:
        """Return the JSON of an earlier figure if it would be made in the same way now, or None."""
        import json
        from contextlib import suppress

        from metadescent._provenance import versions

        with suppress(OSError, ValueError, TypeError, KeyError):
            made = json.loads((self.json or Path()).read_text(encoding="utf-8"))
            asked = self._question() | {"versions": versions()}
            if {name: made["made"][name] for name in asked} == asked and self._picture(self.figure):
                return made
        return None

    def _question(self) -> dict[str, Any]:
        from metadescent.figures.paper.experiment import question

        return question(self.figure, self.budget, self.seed) | {"retrained": self.retrain}

    def _make(self) -> "Reproduction":
        """Measure and judge; write the figure first, and then the numbers behind it."""
        from metadescent import zoo
        from metadescent._files import write_rows
        from metadescent.cli.baselines import tune_ahead
        from metadescent.cli.console import progress
        from metadescent.cli.tables import tuning_cache
        from metadescent.figures.output import save_figure
        from metadescent.figures.paper import experiment_of
        from metadescent.figures.paper.budgets import budget_of
        from metadescent.figures.paper.experiment import reproduce
        from metadescent.runs.plan import as_it_begins
        from metadescent.zoo.cards import read_card

        experiment = experiment_of(self.figure)
        # This comes before the experiment's progress bar, because meta-training has its own.
        if self.retrain:
            learned = self._retrained(experiment.optimizers)
        else:
            learned = {name: zoo.load(name) for name in experiment.optimizers}
        tune_ahead(
            experiment.searches(budget_of(self.budget), self.seed),
            seed=self.seed,
            workers=self.workers,
            scheduler=self.scheduler,
            data_dir=self.data_dir,
        )
        with progress(self.figure, experiment.units) as report:
            reproduction = reproduce(
                experiment,
                load=learned.__getitem__,
                begin=lambda name: as_it_begins(read_card(zoo.path(name)), f"the card of {name}"),
                budget=self.budget,
                data_dir=self.data_dir,
                seed=self.seed,
                cache=tuning_cache(),
                progress=lambda text: report(text, 1),
                # A figure that was interrupted goes on with the optimizers that were not run yet.
                kept=None if self.budget == "smoke" else self.out / f"{self.figure}.losses",
            )
        made = {**reproduction.made, "retrained": self.retrain}
        reproduction = reproduction._replace(made=made)
        save_figure(reproduction.plot(), self.out / self.figure, style=self.style)
        if self.json:
            write_rows(self.json, reproduction.to_json())
        return reproduction

    def _print(self, reproduction: "Reproduction") -> None:
        """Print panels and claims; only claims after a smoke run, whose numbers decide nothing."""
        from metadescent.cli.console import output, table
        from metadescent.cli.tables import print_comparison
        from metadescent.runs.reproduced import JUDGED, claims_table

        for comparison in reproduction.panels.values():
            print_comparison(comparison)
        columns, rows = claims_table([claim.to_json() for claim in reproduction.claims])
        if self.budget == "smoke":
            kept = [JUDGED.index(column) for column in ("the paper says", "section", "holds")]
            columns, rows = [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]
        output().print(table(self.figure, columns, rows, text=["the paper says"]))
        if self.budget == "smoke":
            output().print(
                f"A smoke run shows that {self.figure} can be made: nothing was tuned, and there "
                "are too few problems and steps to judge what the paper says; --budget cpu judges."
            )
        output().print(f"Figure: {self.out / self.figure}.png")

    def _retrained(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Train optimizers by their cards, with all earlier stages; return them by name."""
        from metadescent import zoo
        from metadescent.cli.training import train_ahead, train_and_say
        from metadescent.runs.folder import check_free
        from metadescent.zoo.cards import read_card

        stages = {name: self._stages(read_card(zoo.path(name)), name) for name in names}
        for folder, _, _ in itertools.chain(*stages.values()):
            check_free(folder, resume=folder.exists())
        train_ahead(stages, self.workers, self.scheduler, self.data_dir)
        learned = {}
        for name in names:
            for folder, problem, recipe in stages[name]:
                # Each stage but the last is only needed by the next one.
                state = train_and_say(
                    folder,
                    problem,
                    recipe,
                    self.data_dir,
                    resume=folder.exists(),
                    command="reproduce",
                )
                learned[name] = state.best
        return learned

    def _stages(self, card: dict[str, Any], name: str) -> list[tuple[Path, str, Recipe]]:
        """Return folder, problem and recipe of each stage in an optimizer's card, in order."""
        recipe = recipe_from(card["recipe"], f"the card of {name}")
        # A smoke run only shows that the training runs.
        if self.budget == "smoke":
            recipe = replace(recipe, epochs=2, episodes=2)
        before: list[tuple[Path, str, Recipe]] = []
        if card.get("before"):
            before = self._stages(card["before"], f"{name}-before")
            recipe = replace(recipe, init=str(before[-1][0]))
        return [*before, (self.out / self.budget / name, card["trained_on"], recipe)]
