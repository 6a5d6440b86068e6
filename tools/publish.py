"""Put the optimizer of a finished run into the zoo, with its test figures and its card.

    python tools/publish.py runs/mnist-lstm mnist-lstm --seeds 64

The card is written from the file's own metadata and from one comparison on fresh problems, so that
no figure in it is typed by hand.
"""

import argparse
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from metadescent import artifact, zoo
from metadescent.compare import Comparison, compare, hardware
from metadescent.files import write_atomically
from metadescent.recipe import Recipe
from metadescent.registry import make_problem, recipe_of

CARD = """# {name}

{summary}

| | |
|---|---|
| optimizer | `{optimizer}` |
| trained on | `{trained_on}`, horizon {steps} steps |
| made again by | `{command}` |
| budget | {meta_steps:,} meta-steps to the best epoch, {epoch}; {minutes:.0f} minutes |
| hardware | {hardware} |
| seed | {seed} |
| validation | best final loss {validation:.4g}, on {validation_problems} problems |
| licence | Apache-2.0, like the package |

## On {seeds} fresh problems, {steps} steps

{table}

Made by `metadescent evaluate {name} {trained_on} --seeds {seeds}` on {test_hardware}. Intervals are
95 %. Rates are tuned for this problem and horizon by the {criterion}.

## Validation loss, epoch by epoch

{curve}
"""


def command_of(problem: str, recipe: dict[str, Any]) -> str:
    """Return the one command that trains this optimizer again."""
    default = {field.name: field.default for field in fields(Recipe)} | recipe_of(problem)
    flags = []
    for name, value in recipe.items():
        flag = name.replace("_", "-")
        if value == default[name]:
            continue
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags.append(f"--{flag} {shlex.quote(str(value))}")
    return " ".join(["metadescent train", shlex.quote(problem), *flags])


def table_of(result: Comparison) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        "| | rate | final loss | 95 % | last tenth | sum |",
        "|---|---|---|---|---|---|",
    ]
    for name, curve in result.curves.items():
        rate = "learned" if curve.rate is None else f"{curve.rate:.3g}"
        interval = f"{curve.low[-1]:.4g} – {curve.high[-1]:.4g}"
        figures = f"{curve.final:.4g} | {interval} | {curve.last_tenth:.4g} | {curve.sum:.4g}"
        lines.append(f"| {name} | {rate} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Evaluate, copy, write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--summary", required=True)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    source = zoo.path(arguments.run)
    card = artifact.read_card(source)
    m = artifact.load(source)
    recipe, name = card["recipe"], arguments.name
    problem = make_problem(card["trained_on"], arguments.data_dir)
    result = compare(
        {name: m},
        problem,
        card["trained_on"],
        num_steps=recipe["steps"],
        num_seeds=arguments.seeds,
        cache=Path("runs/tuned"),
        progress=print,
    )
    card["test"] = {
        "seeds": arguments.seeds,
        "final": result.curves[name].final,
        "last_tenth": result.curves[name].last_tenth,
        "sum": result.curves[name].sum,
    }
    folder = Path(zoo.__file__).parent
    kept = {key: value for key, value in card.items() if key not in ("format", "version")}
    artifact.save(folder / f"{name}.safetensors", m, **kept)
    curve = card["validation"]["curve"]
    text = CARD.format(
        name=name,
        summary=arguments.summary,
        optimizer=card["optimizer"],
        trained_on=card["trained_on"],
        steps=recipe["steps"],
        command=command_of(card["trained_on"], recipe),
        meta_steps=card["budget"]["meta_steps"],
        epoch=card["budget"]["epoch"],
        minutes=card["budget"]["seconds"] / 60,
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
