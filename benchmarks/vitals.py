"""The cost of the doctor's log: the time of the vitals as a share of that of the meta-steps.

    python benchmarks/vitals.py [PROBLEM …] [--repeats 7]

The vitals are measured in the validation, once an epoch. Their cost is therefore the time of the
validation with them, less its time without them, divided by the time of an epoch's meta-steps.
Validation with and without vitals, and one episode, are timed in turn; times are medians. (A
meta-step itself computes only the norm of φ's update, which is a few thousand multiplications.)
"""

import argparse
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from timing import in_turn, load, median

from metadescent.cli.console import output, table
from metadescent.descent.curves import learning_curves
from metadescent.descent.vitals import checked_curves
from metadescent.registry import make_estimator, make_optimizer, make_problem, recipe_of
from metadescent.runs.recipe import Recipe


def calls_of(recipe: Recipe, problem: Any) -> dict[str, Any]:
    """Return an episode, and a validation with and without vitals, as calls."""
    m, key = make_optimizer(recipe.optimizer, jax.random.key(0)), jax.random.key(1)
    sizes = {
        "num_steps": recipe.validation_steps or recipe.steps,
        "num_seeds": recipe.validation_problems,
    }
    estimator = make_estimator(recipe.estimator, **recipe.estimator_options)
    weights = jnp.ones((recipe.steps // recipe.unroll, recipe.unroll))

    @eqx.filter_jit
    def episode(m: Any, problem: Any) -> Any:
        def segment(carry: Any, weights: Any) -> Any:
            gradient, carry, _ = estimator.estimate(m, problem, carry, key, weights)
            return carry, gradient

        return jax.lax.scan(segment, estimator.begin(m, problem, key), weights)[1]

    plain = eqx.filter_jit(lambda m, problem: learning_curves(m, problem, key, **sizes))
    checked = eqx.filter_jit(lambda m, problem: checked_curves(m, problem, key, **sizes))
    return {
        "episode": lambda: episode(m, problem),
        "plain": lambda: plain(m, problem),
        "checked": lambda: checked(m, problem),
    }


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description="The cost of the doctor's log.")
    parser.add_argument("problems", nargs="*", default=["quadratic", "mnist"])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.problems:
        recipe = replace(Recipe(), **recipe_of(name))
        seconds = in_turn(calls_of(recipe, make_problem(name)), arguments.repeats)
        episode, plain, checked = (median(seconds[k]) for k in ("episode", "plain", "checked"))
        epoch = recipe.episodes * episode
        rows.append(
            [
                name,
                f"{epoch:.3f}",
                f"{plain:.4f}",
                f"{checked:.4f}",
                f"{100 * (checked - plain) / epoch:.2f} %",
            ]
        )
    columns = ["", "meta-steps of an epoch, s", "validation, s", "with vitals, s", "share"]
    output().print(table("Vitals", columns, rows))
    output().print(f"Load averages {load()}.")


if __name__ == "__main__":
    main()
