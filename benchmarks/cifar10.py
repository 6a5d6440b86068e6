"""The meta-step of section 3.3: two LSTMs on a convolutional network of 22,682 coordinates.

    python benchmarks/cifar10.py [--repeats 5] [--json FILE]

One meta-step is 20 steps of one network on minibatches of 128 and their meta-gradient. Each form
runs in a process of its own, for its peak memory; times are medians. `step` is one step of Adam on
the network alone: what no meta-step can do without.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import optax
from timing import load, median, seconds_of

from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.descent.curves import learning_curves
from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.registry import make_optimizer, make_problem

STEPS = 20
RULES = "conv/* -> lstm(p=10.0, scale=0.1) + * -> lstm(p=10.0, scale=0.1)"
OPTIONS: dict[str, dict[str, Any]] = {
    "two-phase": {},
    "two-phase, 2048 coordinates": {"num_coordinates": 2048},
    "exact, second derivatives": {"second_derivatives": True, "form": "recompute"},
}
FORMS = ("step", *OPTIONS)


def call_of(form: str) -> Callable[[], Any]:
    """Return a form as a call, compiled on first use."""
    problem, key = make_problem("cifar10"), jax.random.key(1)
    if form == "step":
        # One object: another would be compiled anew.
        adam = optax.adam(1e-3)
        return lambda: learning_curves(adam, problem, key, num_steps=STEPS, num_seeds=1)
    m = make_optimizer(RULES, jax.random.key(0))
    begin = start_batch(m, problem, key, 1)
    options = OPTIONS[form]

    @eqx.filter_jit
    def meta_step(m: Any, problem: Any, begin: Any) -> Any:
        def loss(m: Any) -> Any:
            return meta_loss(m, problem, begin, key, num_problems=1, num_steps=STEPS, **options)

        return eqx.filter(eqx.filter_grad(loss, has_aux=True)(m)[0], eqx.is_array)

    return lambda: meta_step(m, problem, begin)


def measure(form: str, repeats: int) -> dict[str, Any]:
    """Time a form in this process."""
    call = call_of(form)
    first = seconds_of(call)
    found = [seconds_of(call) for _ in range(repeats)]
    per = STEPS if form == "step" else 1
    peak = next(
        line
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if "VmHWM" in line
    )
    gib = int(peak.split()[1]) / 2**20
    return {"first": first, "seconds": median(found) / per, "all": found, "peak GiB": gib}


def main() -> None:
    """Measure every form, with the kernels in C++ and without, and print one table."""
    parser = argparse.ArgumentParser(description="The meta-step on CIFAR-10, measured.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--form", choices=FORMS, help="this one alone, as JSON")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.form:
        print(json.dumps(measure(arguments.form, arguments.repeats)))
        return
    report: dict[str, Any] = {"load": load(), "hardware": hardware(), "versions": versions()}
    rows = []
    for native in ("1", "0"):
        for form in FORMS:
            command = [sys.executable, __file__, "--form", form]
            done = subprocess.run(
                [*command, "--repeats", str(arguments.repeats)],
                env=os.environ | {"METADESCENT_NATIVE": native},
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            name = form if native == "1" else f"{form}, in JAX"
            report[name] = found
            rows.append([name, *(f"{found[k]:.3g}" for k in ("seconds", "first", "peak GiB"))])
    output().print(table("CIFAR-10", ["form", "seconds", "first run", "peak GiB"], rows, ["form"]))
    if arguments.json:
        write_json(arguments.json, report)


if __name__ == "__main__":
    main()
