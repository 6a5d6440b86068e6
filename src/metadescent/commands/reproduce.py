"""`reproduce`: a figure of the paper, and its claims judged."""

from dataclasses import replace
from typing import Any

from metadescent import arguments, artifact, experiments, zoo
from metadescent.commands.dispatch import run
from metadescent.commands.show import show, tuning_cache
from metadescent.commands.train import train
from metadescent.console import console, figure, progress, table
from metadescent.files import write_json
from metadescent.logs import recipe_from
from metadescent.optimizer import LearnedOptimizer
from metadescent.plotting import save


@run.register
def _reproduce(command: arguments.Reproduce) -> None:
    # Before the bar of the experiment begins, as meta-training draws its own.
    names = experiments.experiment(command.figure).OPTIMIZERS
    learned = {
        name: _retrain(name, command) if command.retrain else zoo.load(name) for name in names
    }
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
    save(result.plot(), command.out / command.figure)
    console().print(f"Figure: {command.out / command.figure}.png")
    if command.json:
        write_json(command.json, result.to_json())


def _retrain(name: str, command: arguments.Reproduce) -> LearnedOptimizer:
    return _retrain_stage(artifact.read_card(zoo.path(name)), name, command)


def _retrain_stage(
    card: dict[str, Any], name: str, command: arguments.Reproduce
) -> LearnedOptimizer:
    """Train as a card says, after the stages before it."""
    recipe = recipe_from(card["recipe"], f"the card of {name}")
    if command.budget == "smoke":
        recipe = replace(recipe, epochs=2, episodes=2)
    folder = command.out / command.budget / name
    if card.get("before"):
        _retrain_stage(card["before"], f"{name}-before", command)
        recipe = replace(recipe, init=str(folder.with_name(f"{name}-before")))
    state = train(folder, card["trained_on"], recipe, command.data_dir, resume=folder.exists())
    return state.best
