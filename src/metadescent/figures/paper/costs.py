"""The cost of a step: optimizers are timed in turn, in one process, on one optimizee."""

import time
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import learning_curves
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.problems.base import Problem

TURNS = 5


def seconds_a_step(
    rules: Mapping[str, AnyOptimizer], problem: Problem, key: PRNGKeyArray, num_steps: int
) -> dict[str, float]:
    """Return the seconds of a step of each rule, including the gradient of f."""

    def run(m: AnyOptimizer) -> float:
        began = time.perf_counter()
        # A line search gets as many gradients as the other rules have steps.
        curves = learning_curves(m, problem, key, num_steps=num_steps, num_seeds=1)
        jax.block_until_ready(curves)
        return (time.perf_counter() - began) / num_steps

    # The first run of each rule compiles.
    for m in rules.values():
        run(m)
    # In turns, so that other work on the machine slows all rules alike.
    turns = [[run(m) for m in rules.values()] for _ in range(TURNS)]
    return dict(zip(rules, np.median(turns, axis=0).tolist(), strict=True))


def with_costs(
    panel: Comparison, learned: Mapping[str, AnyOptimizer], problem: Problem, key: PRNGKeyArray
) -> Comparison:
    """Return a panel with the cost of a step of each optimizer."""
    rules = {
        name: learned[name] if curve.rate is None else BASELINES[name].at(curve.rate, panel.steps)
        for name, curve in panel.curves.items()
    }
    return panel._replace(seconds=seconds_a_step(rules, problem, key, panel.steps))
