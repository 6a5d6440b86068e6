"""Measure what each part of the robust recipe is worth: train without it, at one small budget.

    python tools/ablation.py --out runs/ablation

Every variant is an ordinary run in a folder of its own. A second call goes on with these runs. All
variants take the same number of steps on the same networks, except those that vary just this. A
variant whose meta-gradient ceases to be finite ends at that point. The optimizer of each run that
is best in validation is measured. The table has the loss, a mean over the last tenth of the steps,
on fresh problems that all variants share.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp

from metadescent._files import write_json
from metadescent.descent.comparison import problem_keys
from metadescent.descent.curves import learning_curves, summarize
from metadescent.figures.paper.records import tenth
from metadescent.registry import make_problem
from metadescent.runs.folder import OPTIMIZER
from metadescent.runs.log import read_metrics
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import NonFiniteError, train
from metadescent.zoo import file as artifact

NETWORKS = ("mnist", "mnist-relu", "mnist-2-layers")
TESTS = (*NETWORKS, "mnist-tanh")
HORIZONS = (100, 1000)


def together(names: tuple[str, ...] = NETWORKS, **options: object) -> str:
    """Return the problem of several networks side by side."""
    written = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return " + ".join(f"{name}({written})" if written else name for name in names)


SMALL = Recipe(
    steps=200,
    unroll=200,
    epochs=4,
    episodes=10,
    meta_rate=2e-3,
    clip=10.0,
    average=0.9,
    estimator="truncated(feedback=0.5)",
    second_derivatives=True,
    coordinates=0,
    form="plain",
    validation_problems=2,
    validation_steps=1000,
)
PES = replace(SMALL, estimator="pes(std=0.01)", unroll=20, meta_rate=3e-4)
RULE = "anytime(layers=(20,), tau=300.0, scale=0.05)"


@dataclass(frozen=True)
class Variant:
    """A way to train; the defaults are the whole recipe, at a small budget."""

    name: str
    problem: str = together(log=True)
    optimizer: str = RULE
    imitate: bool = True
    recipe: Recipe = SMALL


VARIANTS = [
    Variant("the recipe"),
    Variant("unroll of 50", recipe=replace(SMALL, unroll=50)),
    Variant("unroll of 20", recipe=replace(SMALL, unroll=20)),
    Variant("first derivatives only", recipe=replace(SMALL, second_derivatives=False)),
    Variant("all of the second", recipe=replace(SMALL, estimator="truncated")),
    Variant("no imitation", imitate=False),
    Variant("no logarithm", problem=together()),
    Variant("one network", problem=together(NETWORKS[:1], log=True)),
    Variant("steps of one length", optimizer="anytime(layers=(20,), tau=1e9, scale=0.05)"),
    Variant("RNNprop's features", optimizer="rnnprop(layers=(20,), scale=0.05)"),
    Variant("the paper's features", optimizer="lstm(layers=(20,))"),
    Variant("coordinates rescaled, r = 1", problem=together(log=True, rescale=1.0)),
    Variant("a convex term", problem=f"{together(log=True)} + convex(log=True)"),
    Variant("PES, unroll of 20", recipe=PES),
]
IMITATION = Recipe(estimator="imitation(rate=0.02)", epochs=1, episodes=30, validation_problems=4)


def train_variant(variant: Variant, out: Path, data_dir: Path | None) -> Path:
    """Train a variant, or go on with it, and return its folder."""
    recipe = replace(variant.recipe, optimizer=variant.optimizer)
    if variant.imitate:
        first = replace(IMITATION, optimizer=variant.optimizer)
        spec = "".join(c if c.isalnum() else "-" for c in variant.optimizer)
        recipe = replace(
            recipe, init=str(_run(out / f"imitation-{spec}", together(), first, data_dir))
        )
    return _run(
        out / variant.name.replace(" ", "-").replace(",", ""), variant.problem, recipe, data_dir
    )


def _run(folder: Path, problem: str, recipe: Recipe, data_dir: Path | None) -> Path:
    made = make_problem(problem, data_dir)
    try:
        for _, info in train(folder, made, problem, plan_of(recipe), resume=folder.exists()):
            print(f"{folder.name}: validation {float(info.validation_loss):.3f}", flush=True)
    except NonFiniteError as error:  # a finding too: what was best before it is measured
        print(f"{folder.name}: {error}", flush=True)
    return folder


def measure(folder: Path, seeds: int, data_dir: Path | None) -> dict[str, list[float]]:
    """Return the final loss, and its 95 % interval, of an optimizer on every test."""
    m = artifact.load(folder / OPTIMIZER)
    _, key = problem_keys(0)
    losses = {}
    for name in TESTS:
        problem = make_problem(name, data_dir)
        curves = learning_curves(m, problem, key, num_steps=max(HORIZONS), num_seeds=seeds)
        for steps in HORIZONS:
            last = summarize(jnp.asarray(curves)[:, steps - tenth(steps) : steps].mean(1)[:, None])
            losses[f"{name} {steps}"] = [float(x[0]) for x in (last.mean, last.low, last.high)]
    jax.clear_caches()
    return losses


def main() -> None:
    """Train all, measure all, print the table."""
    parser = argparse.ArgumentParser(description="What each part of the robust recipe buys.")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--only", help="variants whose name has this in it")
    arguments = parser.parse_args()
    results = arguments.out / "ablation.json"
    measured = json.loads(results.read_text()) if results.exists() else {}
    for variant in VARIANTS:
        if variant.name not in measured and (arguments.only or "") in variant.name:
            folder = train_variant(variant, arguments.out, arguments.data_dir)
            epochs = read_metrics(folder)
            measured[variant.name] = {
                "seconds": epochs[-1]["seconds"],
                "epochs": len(epochs),
                "tests": measure(folder, arguments.seeds, arguments.data_dir),
            }
            write_json(results, measured)
    columns = [f"{name} {steps}" for steps in HORIZONS for name in TESTS]
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, result in measured.items():
        figures = [f"{result['tests'][column][0]:.3g}" for column in columns]
        ended = result["epochs"]
        name += "" if ended == SMALL.epochs else f" (not finite in epoch {ended + 1})"
        print(f"| {name} | " + " | ".join(figures) + " |")


if __name__ == "__main__":
    main()
