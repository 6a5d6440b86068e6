"""`reproduce`: a figure of the paper, and its claims judged."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from metadescent._errors import require
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, File, Scheduler, Style, Workers
from metadescent.runs.recipe import Recipe, recipe_from

HOLDS = {True: "yes", False: "no", None: "not judged"}


@dataclass(frozen=True)
class Reproduce(Command):
    """Make a figure of the paper, and judge the paper's claims about it."""

    place = 11

    figure: Positional[Annotated[str, arg(metavar="FIGURE")]]
    """Such as figure4."""
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
        """Refuse numbers that mean nothing."""
        require("workers", self.workers, 1)
        require("seed", self.seed, 0, 2**32 - 1)

    def outputs(self) -> list[Path]:
        """Return the files of the figure and, if they are wanted, of the numbers behind it."""
        from metadescent.figures.output import figure_paths
        from metadescent.figures.paper import experiment_of

        experiment_of(self.figure)  # refused before its name is a file's
        return [*figure_paths(self.out / self.figure), *([self.json] if self.json else [])]

    def run(self) -> None:
        """Measure, judge, draw."""
        from metadescent.cli.baselines import quick_to_compile

        # Of a smoke run nearly all is compilation.
        with quick_to_compile(self.budget == "smoke"):
            self._run()

    def _run(self) -> None:
        from metadescent import zoo
        from metadescent._files import write_rows
        from metadescent._text import number
        from metadescent.cli.baselines import tune_ahead
        from metadescent.cli.console import output, progress, table
        from metadescent.cli.tables import print_comparison, tuning_cache
        from metadescent.figures.output import save_figure
        from metadescent.figures.paper import experiment_of
        from metadescent.figures.paper.budgets import budget_of
        from metadescent.figures.paper.experiment import reproduce
        from metadescent.runs.outcome import figure
        from metadescent.runs.plan import as_it_begins
        from metadescent.zoo.cards import read_card

        experiment = experiment_of(self.figure)
        # Before the bar of the experiment begins, as meta-training draws its own.
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
            )
        if self.json:
            write_rows(self.json, reproduction.to_json())
        save_figure(reproduction.plot(), self.out / self.figure, style=self.style)
        for comparison in reproduction.panels.values():
            print_comparison(comparison)
        rows = [
            [
                claim.text,
                claim.section,
                number(claim.measured),
                f"{number(claim.reference)}{f', {claim.against}' if claim.against else ''}",
                figure(claim.ratio),
                f"{figure(claim.low)} – {figure(claim.high)}",
                HOLDS[claim.holds],
            ]
            for claim in reproduction.claims
        ]
        columns = ["the paper says", "section", "measured", "against", "ratio", "95 %", "holds"]
        output().print(table(self.figure, columns, rows, text=["the paper says"]))
        if self.budget == "smoke":
            output().print(
                f"A smoke run shows that {self.figure} can be made: nothing was tuned, and there "
                "are too few problems and steps to judge what the paper says; --budget cpu judges."
            )
        output().print(f"Figure: {self.out / self.figure}.png")

    def _retrained(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Train optimizers as their cards say, after the stages before; return them by name."""
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
                # Each stage but the last is there for the one that goes on from it.
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
        """Return the folders, problems and recipes that an optimizer's card speaks of, in order."""
        recipe = recipe_from(card["recipe"], f"the card of {name}")
        # To see that it runs, not what it learns.
        if self.budget == "smoke":
            recipe = replace(recipe, epochs=2, episodes=2)
        before: list[tuple[Path, str, Recipe]] = []
        if card.get("before"):
            before = self._stages(card["before"], f"{name}-before")
            recipe = replace(recipe, init=str(before[-1][0]))
        return [*before, (self.out / self.budget / name, card["trained_on"], recipe)]
