"""What each command of the command line does."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import pooch

from metadescent import arguments, artifact, runs, zoo
from metadescent.compare import Comparison, cached_tune, compare
from metadescent.console import console, figure, progress, table
from metadescent.errors import UserError
from metadescent.files import write_json
from metadescent.meta_train import MetaInfo, MetaState
from metadescent.optimizer import LearnedOptimizer
from metadescent.recipe import Recipe
from metadescent.registry import make_problem, nearest, optimizers, problems, recipe_of
from metadescent.tune import BASELINES


@singledispatch
def run(command: Any) -> None:
    """Carry out a parsed command."""
    raise NotImplementedError(type(command))


@run.register
def _list(command: arguments.List) -> None:
    out = console()
    rows = [[name, named.summary] for name, named in sorted(problems().items())]
    out.print(table("Problems", ["name", "f"], rows, text=["f"]))
    rows = [[name, _first_line(kind)] for name, kind in sorted(optimizers().items())]
    out.print(table("Kinds of optimizer", ["name", "m"], rows, text=["m"]))
    rows = [
        [name, str(card["trained_on"]), str(card["recipe"]["steps"]), card["optimizer"]]
        for name in zoo.names()
        for card in [artifact.read_card(zoo.path(name))]
    ]
    out.print(
        table("Pretrained", ["name", "trained on", "steps", "optimizer"], rows, text=["optimizer"])
    )


@run.register
def _demo(command: arguments.Demo) -> None:
    began = time.monotonic()
    recipe = replace(Recipe(), **recipe_of("quadratic"), epochs=command.epochs)
    learned = command.out / "quadratic-lstm"
    _forget(learned)
    state = _train(learned, "quadratic", recipe, None, resume=False)
    problem = make_problem("quadratic")
    with progress("compare", 2 * len(BASELINES) + 1) as report:
        result = compare(
            {"LSTM": state.best},
            problem,
            "quadratic",
            num_steps=recipe.steps,
            num_seeds=command.seeds,
            seed=recipe.seed + 1,
            progress=lambda text: report(text, 1),
        )
    _show(result)
    _plot(result, command.out / "demo")
    write_json(command.out / "demo.json", result.to_json())
    seconds = time.monotonic() - began
    console().print(
        f"The optimizer is {learned / 'optimizer.safetensors'}, the curves are "
        f"{command.out / 'demo.png'}; {seconds:.0f} s in all."
    )


@run.register
def _train_command(command: arguments.Train) -> None:
    folder = command.out or Path("runs") / command.problem.replace("/", "-")
    recipe = command.recipe
    if command.search:
        recipe = _search(folder, command)
    state = _train(folder, command.problem, recipe, command.data_dir, resume=command.resume)
    console().print(
        f"Best validation loss {figure(float(state.best_loss))} at epoch {int(state.best_epoch)}: "
        f"{folder / 'optimizer.safetensors'}"
    )


def _train(
    folder: Path, problem_name: str, recipe: Recipe, data_dir: Path | None, *, resume: bool
) -> MetaState:
    problem = make_problem(problem_name, data_dir)
    state: MetaState | None = None
    with progress("meta-train", recipe.epochs) as report:

        def show(state: MetaState, info: MetaInfo, done: int) -> None:
            rate = runs.meta_rate_at(recipe, int(state.epoch))
            report(
                f"meta-loss {figure(float(info.meta_losses.mean()))}, "
                f"validation {figure(float(info.validation_loss))} "
                f"(best {figure(float(state.best_loss))}), meta-rate {rate:.2g}",
                done,
            )

        seen = 0
        for state, info in runs.train(folder, problem, problem_name, recipe, resume=resume):
            show(state, info, int(state.epoch) - seen)
            seen = int(state.epoch)
    if state is None:
        state = runs.finished_state(folder, recipe)
    return state


def _search(folder: Path, command: arguments.Train) -> Recipe:
    """Return the recipe with the meta-rate that did best in short trials (section 3)."""
    recipe = command.recipe
    trials = runs.trials(recipe, command.search)
    problem = make_problem(command.problem, command.data_dir)
    found: list[tuple[float, float]] = []
    with progress("search", len(trials)) as report:
        for index, trial in enumerate(trials):
            loss = runs.validate_trial(
                folder / "search" / f"trial-{index}", problem, command.problem, trial
            )
            found.append((loss, trial.meta_rate))
            report(f"meta-rate {trial.meta_rate:.2g}: validation {figure(loss)}", 1)
    best = min(found)[1]
    rows = [[f"{rate:.3g}", figure(loss)] for loss, rate in sorted(found)]
    console().print(table("Random search", ["meta-rate", "validation loss"], rows))
    return replace(recipe, meta_rate=best)


@run.register
def _evaluate(command: arguments.Evaluate) -> None:
    names = [name for name in command.against.split(",") if name]
    for name in names:
        if name not in BASELINES:
            raise UserError(f"there is no baseline {name!r}; {nearest(name, BASELINES)}")
    m = zoo.load(command.optimizer)
    problem = make_problem(command.problem, command.data_dir)
    with progress("evaluate", 2 * len(names) + 1) as report:
        result = compare(
            {Path(command.optimizer).stem: m},
            problem,
            command.problem,
            baselines=names,
            num_steps=command.steps,
            num_seeds=command.seeds,
            seed=command.seed,
            cache=_cache(),
            progress=lambda text: report(text, 1),
        )
    _show(result)
    if command.json:
        write_json(command.json, result.to_json())
    if command.plot:
        _plot(result, command.plot.with_suffix(""))


@run.register
def _tune(command: arguments.Tune) -> None:
    problem = make_problem(command.problem, command.data_dir)
    key = jax.random.key(command.seed)
    tuned = cached_tune(command.name, problem, key, command.steps, command.seeds, _cache())
    rows = [
        [f"{rate:.3g}", figure(loss), "best" if rate == tuned.rate else ""]
        for rate, loss in zip(tuned.grid, tuned.final_losses, strict=True)
    ]
    console().print(table(f"{command.name} on {command.problem}", ["rate", "final loss", ""], rows))
    console().print(f"Best rate {tuned.rate:.3g} by the {tuned.criterion}.")


@run.register
def _inspect(command: arguments.Inspect) -> None:
    path = zoo.path(command.optimizer)
    card, m = artifact.read_card(path), zoo.load(command.optimizer)
    out = console()
    arrays = eqx.filter(m, eqx.is_array)
    rows = [
        [jax.tree_util.keystr(where), "×".join(map(str, leaf.shape)), figure(float(leaf.std()))]
        for where, leaf in jax.tree_util.tree_leaves_with_path(arrays)
    ]
    count = sum(leaf.size for leaf in jax.tree.leaves(arrays))
    out.print(table(f"{path.name}: {count:,} parameters", ["φ", "shape", "std"], rows))
    if isinstance(card.get("validation"), dict):
        card["validation"] = {"loss": card["validation"].get("loss")}
    out.print(json.dumps(card, indent=2, ensure_ascii=False))


@run.register
def _reproduce(command: arguments.Reproduce) -> None:
    from metadescent import experiments

    def load(name: str) -> LearnedOptimizer:
        return _retrain(name, command) if command.retrain else zoo.load(name)

    with progress(command.figure, experiments.units(command.figure)) as report:
        result = experiments.reproduce(
            command.figure,
            budget=command.budget,
            load=load,
            data_dir=command.data_dir,
            seed=command.seed,
            cache=_cache(),
            progress=lambda text: report(text, 1),
        )
    for panel in result.panels.values():
        _show(panel)
    rows = [
        [claim.text, claim.section, figure(claim.measured), figure(claim.reference), _yes(claim)]
        for claim in result.claims
    ]
    columns = ["the paper says", "section", "measured", "against", "holds"]
    console().print(table(command.figure, columns, rows, text=["the paper says"]))
    from metadescent.plotting import save

    save(result.plot(), command.out / command.figure)
    console().print(f"Figure: {command.out / command.figure}.png")
    if command.json:
        write_json(command.json, result.to_json())


def _retrain(name: str, command: arguments.Reproduce) -> LearnedOptimizer:
    card = artifact.read_card(zoo.path(name))
    recipe = Recipe(**{**card["recipe"]})
    if command.budget == "smoke":
        recipe = replace(recipe, epochs=2, episodes=2)
    folder = command.out / command.budget / name
    state = _train(folder, card["trained_on"], recipe, command.data_dir, resume=folder.exists())
    return state.best


def _show(result: Comparison) -> None:
    best = result.best_baseline(lambda c: c.last_tenth) if result.tuned else None
    reference = result.curves[best].last_tenth if best else None
    rows = [
        [
            name,
            figure(curve.rate),
            figure(curve.final),
            f"[{figure(float(curve.low[-1]))}, {figure(float(curve.high[-1]))}]",
            figure(curve.last_tenth),
            figure(curve.sum),
            figure(curve.last_tenth / reference if reference else None),
        ]
        for name, curve in result.curves.items()
    ]
    title = f"{result.problem}: {result.steps} steps, {result.seeds} fresh problems"
    ratio = f"÷ {best}" if best else ""
    columns = ["", "rate", "final", "95 %", "last 10th", "sum", ratio]
    console().print(table(title, columns, rows))
    for name, tuned in result.tuned.items():
        console().print(
            f"{name}: rate {tuned.rate:.3g}, best of {len(tuned.grid)} from "
            f"{tuned.grid[0]:.2g} to {tuned.grid[-1]:.2g}",
            style="dim",
        )
    if result.tuned:
        criterion = next(iter(result.tuned.values())).criterion
        console().print(f"Rates tuned by the {criterion}.", style="dim")


def _plot(result: Comparison, path: Path) -> None:
    from metadescent import plotting

    plotting.save(plotting.learning_curves([plotting.Panel(result.curves)]), path)


def _cache() -> Path:
    return Path(pooch.os_cache("metadescent")) / "tuned"


def _forget(folder: Path) -> None:
    """Remove what a run left in a folder, and nothing else."""
    for path in [*folder.glob("checkpoints/epoch-*.safetensors"), folder / "metrics.jsonl"]:
        path.unlink(missing_ok=True)
    (folder / "config.json").unlink(missing_ok=True)


def _first_line(thing: Callable[..., Any]) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _yes(claim: Any) -> str:
    return "yes" if claim.holds else "no"
