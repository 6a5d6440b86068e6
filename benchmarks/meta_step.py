"""One meta-step, beside plain automatic differentiation of the same unroll, in one run.

    python benchmarks/meta_step.py [--json FILE]

Each case is one truncated segment of 20 steps and its gradient with respect to φ of the 2×20 LSTM:
`mnist` has the 15,910 coordinates of an MLP 784-20-10 on random images of MNIST's size, `quadratic`
128 functions of 10 coordinates. The forms, from the plain one to the one that meta-training uses:

    plain          the unrolled loss as it stands, through `equinox.nn.LSTMCell` under `vmap`,
                   every intermediate value kept
    plain, rows    the same with our cell: features × coordinates, its derivative written out
    recomputed     `unroll`: the rule recomputed on the way back, ∇_t taken from the forward pass
    two-phase      `meta_loss`: the meta-gradient block by block of coordinates, and from a sample

They are timed in turn, so that a busy machine slows all of them alike; what counts are the ratios.
`first step` is tracing, compiling and one run.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from metadescent.compare import hardware, versions
from metadescent.console import console, table
from metadescent.meta_loss import draw, meta_loss, start_batch
from metadescent.optimizer import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.preprocess import log_and_sign
from metadescent.problem import Problem
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic
from metadescent.unroll import Trajectory, unroll

STEPS = 20
REPEATS = 15


class Textbook(LearnedOptimizer):
    """The same optimizer as one writes it down first: one coordinate's LSTM, under `vmap`."""

    m: LSTM

    def init(self, params: Any) -> Any:
        """Return zeros, coordinates × features."""
        return jax.tree.map(
            lambda x: tuple(
                (jnp.zeros((*x.shape, n)), jnp.zeros((*x.shape, n))) for n in self.m.layers
            ),
            params,
        )

    def update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        """Run every coordinate through the cells."""

        def coordinate(gradient: Any, state: Any) -> Any:
            x = gradient[None] if self.m.p is None else log_and_sign(gradient, self.m.p)
            new = []
            for cell, h_and_c in zip(self.m.cells, state, strict=True):
                x, c = cell(x, h_and_c)
                new.append((x, c))
            return self.m.scale * self.m.output(x)[0], tuple(new)

        gradients, treedef = jax.tree.flatten(updates)
        moved = []
        for gradient, h in zip(gradients, treedef.flatten_up_to(state), strict=True):
            rule = coordinate
            for _ in range(gradient.ndim):
                rule = jax.vmap(rule)
            moved.append(rule(gradient, h))
        return treedef.unflatten(g for g, _ in moved), treedef.unflatten(h for _, h in moved)


def plain(m: LSTM, problem: Problem, begin: Trajectory, key: Any, num_problems: int) -> Any:
    """Differentiate the unrolled losses of the textbook form."""
    begin = begin._replace(state=Textbook(m).init(begin.theta))
    return plain_rows(Textbook(m), problem, begin, key, num_problems)


def plain_rows(
    m: LearnedOptimizer, problem: Problem, begin: Trajectory, key: Any, num_problems: int
) -> Any:
    """Differentiate the unrolled losses as they stand, keeping every intermediate value."""
    fs, keys = draw(problem, key, num_problems)

    def step(carry: Any, t: Any) -> Any:
        theta, state = carry
        step_key = jax.random.fold_in(keys.minibatch, t)
        loss = fs.loss(theta, step_key)
        gradient = jax.grad(lambda theta: fs.loss(theta, step_key).sum())(theta)
        g, state = m.update(jax.lax.stop_gradient(gradient), state, theta)
        return (optax.apply_updates(theta, g), state), loss

    (theta, _), losses = jax.lax.scan(step, (begin.theta, begin.state), jnp.arange(STEPS))
    last = fs.loss(theta, jax.random.fold_in(keys.minibatch, STEPS))
    return losses[1:].sum(0).mean() + last.mean()


def recomputed(m: LSTM, problem: Problem, begin: Trajectory, key: Any, num_problems: int) -> Any:
    """Recompute the rule on the way back, and take ∇_t from the forward pass."""
    fs, keys = draw(problem, key, num_problems)
    return unroll(m, fs, begin, keys.minibatch, num_steps=STEPS)[1].sum(0).mean()


def two_phase(coordinates: int | None) -> Callable[..., Any]:
    """Return the form that meta-training uses."""

    def form(m: LSTM, problem: Problem, begin: Trajectory, key: Any, num_problems: int) -> Any:
        return meta_loss(
            m,
            problem,
            begin,
            key,
            num_problems=num_problems,
            num_steps=STEPS,
            num_coordinates=coordinates,
        )[0]

    return form


def cases() -> dict[str, tuple[LSTM, Problem, int]]:
    """Return the optimizer, the problem and the number of problems of each case."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60_000, 784), dtype=np.uint8)
    labels = rng.integers(0, 10, 60_000).astype(np.int32)
    key = jax.random.key(0)
    return {
        "mnist": (LSTM(p=10.0, scale=0.1, key=key), MLPClassification(images, labels), 1),
        "quadratic": (LSTM(p=None, scale=1.0, key=key), Quadratic(), 128),
    }


def measure(name: str) -> dict[str, dict[str, float]]:
    """Return seconds of the first and of the median later meta-step for each form."""
    m, problem, num_problems = cases()[name]
    key = jax.random.key(1)
    begin = start_batch(m, problem, key, num_problems)
    forms = {
        "plain": plain,
        "plain, rows": plain_rows,
        "recomputed": recomputed,
        "two-phase": two_phase(None),
    }
    if name == "mnist":
        forms["two-phase, 2048 coordinates"] = two_phase(2048)
    steps, result = {}, {}
    for form, loss in forms.items():
        steps[form] = eqx.filter_jit(eqx.filter_value_and_grad(loss))
        started = time.perf_counter()
        jax.block_until_ready(steps[form](m, problem, begin, key, num_problems))
        result[form] = {"first step": time.perf_counter() - started}
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(REPEATS):
        for form, step in steps.items():
            started = time.perf_counter()
            jax.block_until_ready(step(m, problem, begin, key, num_problems))
            seconds[form].append(time.perf_counter() - started)
    for form in forms:
        result[form]["meta-step"] = float(np.median(seconds[form]))
    return result


def main() -> None:
    """Measure, print one table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    results = {name: measure(name) for name in cases()}
    rows = [
        [
            f"{name}: {form}",
            f"{figures['first step']:.2f} s",
            f"{1e3 * figures['meta-step']:.1f} ms",
            f"{forms['plain']['meta-step'] / figures['meta-step']:.2f}×",
        ]
        for name, forms in results.items()
        for form, figures in forms.items()
    ]
    title = f"{hardware()}; load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    console().print(table(title, ["unroll of 20", "first step", "meta-step", "plain ÷ this"], rows))
    if arguments.json:
        report = {"results": results, "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
