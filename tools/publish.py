"""Put the optimizer of a finished run into the zoo, with its test figures and its card.

    python tools/publish.py runs/mnist-lstm mnist-lstm --seeds 64

The card is written from the file's own metadata and from one comparison on fresh problems. Only the
figures in `--summary` and `--note` are typed by hand. The optimizer is tested on the problem that
it was trained on, or on that of `--tested-on`, and compared with baselines that are tuned on
`--tune-seeds` problems each. With `--searched FIGURE:PANEL` the searches that are kept with that
figure are not done again. `--as` says which rule is saved with this φ: `--as blend` saves
`blend(horizon=500)` with T open.
"""

import argparse
import math
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent._provenance import hardware
from metadescent.cli.command import as_words
from metadescent.cli.tables import tuning_cache
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.figures.paper.kept import FOLDER, kept_searches
from metadescent.registry import make_optimizer, make_problem, recipe_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import stage_before
from metadescent.zoo import catalogue
from metadescent.zoo import file as artifact
from metadescent.zoo.cards import DIVERGED, training_taken

CARD = """# {name}

{summary}

| | |
|---|---|
| optimizer | `{optimizer}` |
| trained on | `{trained_on}`, horizon {steps} steps |
| made again by | `{command}` |
| budget | {budget} |
| hardware | {hardware} |
| seed | {seed} |
| validation | best final loss {validation:.4g}, on {validation_problems} problems |
| licence | Apache-2.0, like the package |
{note}
## On {seeds} fresh problems, {steps} steps{where}

{table}

Made by `metadescent evaluate {name} {tested_on} --seeds {seeds}` on {test_hardware}. Intervals are
95 %. Rates are tuned for this problem and horizon by the {criterion}.

## Validation loss, epoch by epoch

{curve}
"""


def command_of(problem: str, recipe: dict[str, Any]) -> str:
    """Return the one command that trains this optimizer again."""
    default = {field.name: field.default for field in fields(Recipe)} | recipe_of(problem)
    flags = []
    for name, value in recipe.items():
        if value != default[name]:
            flags += as_words(name, value)
    return shlex.join(["metadescent", "train", problem, *flags])


def all_stages(card: dict[str, Any], name: str) -> str:
    """Return one command line that repeats every stage of an optimizer's training."""
    recipe, before = card["recipe"], card.get("before")
    if not before:
        return f"{command_of(card['trained_on'], recipe)} --out runs/{name}"
    earlier = f"{name}-before"
    command = command_of(card["trained_on"], recipe | {"init": f"runs/{earlier}"})
    return f"{all_stages(before, earlier)} && {command} --out runs/{name}"


def table_of(result: Comparison) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        "| | rate | final loss | 95 % | last tenth | sum |",
        "|---|---|---|---|---|---|",
    ]
    for name, curve in result.curves.items():
        rate = "learned" if curve.rate is None else f"{curve.rate:.3g}"
        interval = f"{curve.low[-1]:.4g} – {curve.high[-1]:.4g}"
        if not math.isfinite(curve.final):
            lines.append(f"| {name} | {rate} | {DIVERGED} | – | – | – |")
            continue
        figures = f"{curve.final:.4g} | {interval} | {curve.last_tenth:.4g} | {curve.sum:.4g}"
        lines.append(f"| {name} | {rate} | {figures} |")
    return "\n".join(lines)


def in_rule(kind: str, m: Any) -> Any:
    """Return φ of m in the rule that a specification makes."""
    made = make_optimizer(kind, jax.random.key(0))
    shapes, own = ([x.shape for x in jax.tree.leaves(rule)] for rule in (made, m))
    if shapes != own:
        raise UserError(f"φ has shapes {own} and {kind} takes {shapes}; try the rule of the run")
    return jax.tree.unflatten(jax.tree.structure(made), jax.tree.leaves(m))


def main() -> None:
    """Evaluate, copy, write the card."""
    parser = argparse.ArgumentParser(
        description="Put the optimizer of a finished run into the zoo."
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--tested-on")
    parser.add_argument("--tune-seeds", type=int)
    parser.add_argument("--searched", metavar="FIGURE:PANEL")
    parser.add_argument("--summary", required=True)
    parser.add_argument("--note", default="")
    parser.add_argument("--as", dest="kind", metavar="RULE")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    source = zoo.path(arguments.run)
    card = artifact.read_card(source)
    m = artifact.load(source)
    if arguments.kind:
        card["optimizer"], m = arguments.kind, in_rule(arguments.kind, m)
    recipe, name = card["recipe"], arguments.name
    tested_on = arguments.tested_on or card["trained_on"]
    problem = make_problem(tested_on, arguments.data_dir)
    searched = {}
    if arguments.searched:
        figure, _, panel = arguments.searched.partition(":")
        searched = kept_searches(
            FOLDER / f"{figure}.json",
            panel,
            problem,
            problem_keys(0)[0],
            num_steps=recipe["steps"],
            num_seeds=arguments.tune_seeds,
        )
        if not searched:
            parser.error(f"no search of {arguments.searched} has these steps and --tune-seeds")
    result = compare(
        {name: m},
        problem,
        tested_on,
        num_steps=recipe["steps"],
        num_seeds=arguments.seeds,
        tune_seeds=arguments.tune_seeds,
        cache=tuning_cache(),
        progress=print,
        searched=searched,
    )
    card["test"] = {
        "seeds": arguments.seeds,
        "final": result.curves[name].final,
        "last_tenth": result.curves[name].last_tenth,
        "sum": result.curves[name].sum,
    }
    folder = catalogue.FOLDER
    if card["recipe"].get("init") and not card.get("before"):
        card["before"] = stage_before(Recipe(**card["recipe"]))
    if arguments.note:
        card["note"] = arguments.note
    kept = {key: value for key, value in card.items() if key not in ("format", "version")}
    artifact.save(folder / f"{name}.safetensors", m, **kept)
    curve = card["validation"]["curve"]
    text = CARD.format(
        name=name,
        where="" if tested_on == card["trained_on"] else f", of `{tested_on}`",
        summary=arguments.summary,
        optimizer=card["optimizer"],
        trained_on=card["trained_on"],
        steps=recipe["steps"],
        tested_on=shlex.quote(tested_on)
        + (f" --steps {recipe['steps']}" if recipe["steps"] != 100 else "")
        + (f" --tune-seeds {arguments.tune_seeds}" if arguments.tune_seeds else ""),
        command=all_stages(card, name),
        budget=training_taken(card),
        note=f"\n{arguments.note}\n" if arguments.note else "",
        hardware=card["hardware"],
        seed=card["seed"],
        validation=card["validation"]["loss"],
        validation_problems=recipe["validation_problems"],
        seeds=arguments.seeds,
        table=table_of(result),
        test_hardware=hardware(),
        criterion=next(iter(result.tuned.values())).criterion,
        curve=", ".join(f"{value:.4g}" for value in curve),
    )
    write_atomically(folder / f"{name}.md", text)


if __name__ == "__main__":
    main()
