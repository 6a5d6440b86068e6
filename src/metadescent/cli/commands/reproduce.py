"""`reproduce`: a figure of the paper, and its claims judged."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metadescent import zoo
from metadescent._files import write_json
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.commands.evaluate import tune_ahead
from metadescent.cli.commands.show import show, tuning_cache
from metadescent.cli.commands.train import train
from metadescent.cli.console import console, figure, progress, table
from metadescent.figures import paper as experiments
from metadescent.figures.output import save_figure
from metadescent.figures.paper import panels
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.runs.cluster.executors import engine_of
from metadescent.runs.cluster.sweep import sweep
from metadescent.runs.cluster.tasks import train_in_turn, training
from metadescent.runs.log import recipe_from
from metadescent.runs.recipe import Recipe
from metadescent.zoo import file as artifact


@run.register
def _reproduce(command: arguments.Reproduce) -> None:
    # Before the bar of the experiment begins, as meta-training draws its own.
    names = experiments.experiment(command.figure).OPTIMIZERS
    if command.retrain:
        _retrain_ahead(names, command)
    learned = {
        name: _retrain(name, command) if command.retrain else zoo.load(name) for name in names
    }
    tune_ahead(_searches(command), command)
    with progress(command.figure, experiments.units(command.figure)) as report:
        result = experiments.reproduce(
            command.figure,
            budget=command.budget,
            load=learned.__getitem__,
            data_dir=command.data_dir,
            seed=command.seed,
            cache=tuning_cache(),
            progress=lambda text: report(text, 1),
        )
    for panel in result.panels.values():
        show(panel)
    rows = [
        [
            claim.text,
            claim.section,
            figure(claim.measured),
            figure(claim.reference),
            "yes" if claim.holds else "no",
        ]
        for claim in result.claims
    ]
    columns = ["the paper says", "section", "measured", "against", "holds"]
    console().print(table(command.figure, columns, rows, text=["the paper says"]))
    save_figure(result.plot(), command.out / command.figure)
    console().print(f"Figure: {command.out / command.figure}.png")
    if command.json:
        write_json(command.json, result.to_json())


def _searches(command: arguments.Reproduce) -> list[tuple[str, str, int, int]]:
    """Return the searches for rates that the panels of a figure will do."""
    module = experiments.experiment(command.figure)
    settings = getattr(module, "SETTINGS", {})
    return panels.searches_of(
        {name: one for name, one in settings.items() if isinstance(one, panels.Setting)},
        experiments.budget_of(command.budget),
        # What is kept is of seed 0.
        kept=None if command.seed else getattr(module, "KEPT", None),
    )


def _retrain_ahead(names: Sequence[str], command: arguments.Reproduce) -> None:
    """Where there are workers, have each train one of the optimizers, after the stages before."""
    if command.workers == 1 and command.scheduler is None:
        return
    chains = [
        [
            training(folder, problem, command.data_dir, recipe)
            for folder, problem, recipe in _stages_of(name, command)
        ]
        for name in names
    ]
    with progress("retrain", len(chains)) as report:
        sweep(
            train_in_turn,
            chains,
            engine_of(command.workers, command.scheduler),
            report=lambda chain, _: report(Path(chain[-1].folder).name, 1),
        )


def _retrain(name: str, command: arguments.Reproduce) -> LearnedOptimizer:
    """Train as a card says, after the stages before it."""
    *before, last = _stages_of(name, command)
    for folder, problem, recipe in before:
        train(folder, problem, recipe, command.data_dir, resume=folder.exists())
    folder, problem, recipe = last
    return train(folder, problem, recipe, command.data_dir, resume=folder.exists()).best


def _stages_of(name: str, command: arguments.Reproduce) -> list[tuple[Path, str, Recipe]]:
    return _stages(artifact.read_card(zoo.path(name)), name, command)


def _stages(
    card: dict[str, Any], name: str, command: arguments.Reproduce
) -> list[tuple[Path, str, Recipe]]:
    """Return the folders, problems and recipes that an optimizer's card speaks of, in order."""
    recipe = recipe_from(card["recipe"], f"the card of {name}")
    if command.budget == "smoke":
        recipe = replace(recipe, epochs=2, episodes=2)
    folder = command.out / command.budget / name
    before: list[tuple[Path, str, Recipe]] = []
    if card.get("before"):
        before = _stages(card["before"], f"{name}-before", command)
        recipe = replace(recipe, init=str(before[-1][0]))
    return [*before, (folder, card["trained_on"], recipe)]
