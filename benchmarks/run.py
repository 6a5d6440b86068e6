"""The benchmark: one meta-step of each case beside its alternatives and the floor; `make bench`.

    python benchmarks/run.py [--only CASE[,CASE…]] [--repeats 15] [--json FILE]

Prints one table last and writes the same as JSON, with the raw seconds of every measurement and the
machine's load. What counts are the ratios: the forms of a case are timed in turn, so that a busy
machine slows all of them alike. PyTorch suffers more than the others from a busy machine, so look
at the load.

`--only` takes cases (quadratic, mnist, million, classifiers) and parts: `linear`, the cost as sizes
grow, and `fresh`, first steps and peak memory in processes of their own, of the cases named or of
all of them. All of it takes about a quarter of an hour.

    cases, meta_step, eager, floor    what is measured: the forms, PyTorch's, and the floor
    rounds, applied, linear, fresh    how: in turn, one update, growing, in a new process
    targets, report, timing           what was asked, the table, clocks and medians
"""

import argparse
import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases import CASES, make
from fresh import cold_and_warm, spawn
from linear import linear
from meta_step import forms_of
from report import report_table
from rich.measure import Measurement
from rich.table import Table
from rounds import rounds
from targets import OURS, targets
from timing import load

from metadescent._ffi import kernels
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output

PARTS = (*CASES, "linear", "fresh")
HAS_TORCH = importlib.util.find_spec("torch") is not None


def main() -> None:
    """Measure, write JSON, print one table; fail if two forms do not compute the same."""
    arguments = parse()
    before = load()
    fresh = in_fresh_processes(arguments.only) if "fresh" in arguments.only else {}
    cases: dict[str, Any] = {}
    for name in CASES:
        if name in arguments.only:
            say(f"{name}: forms in turn")
            cases[name] = rounds(make(name), arguments.repeats)
    report: dict[str, Any] = {"cases": cases, "fresh": fresh}
    if "linear" in arguments.only:
        say("cost as coordinates and steps grow")
        report["linear"] = linear(arguments.repeats)
    report |= {
        "targets": [target._asdict() for target in targets(report)],
        "load": {"before": before, "after": load()},
        "hardware": hardware(),
        "kernel in C++": bool(kernels()),
        "versions": versions() | ({"torch": version("torch")} if HAS_TORCH else {}),
    }
    write_json(arguments.json, report)
    show(report_table(report))
    differing = [
        f"{name}: {form}"
        for name, case in cases.items()
        for form, found in case["forms"].items()
        if found.get("agrees") is False
    ]
    if differing:
        sys.exit(f"these do not compute what the plain form does: {', '.join(differing)}")


def show(found: Table) -> None:
    """Print a table as wide as it is: wrapped figures are hard to read."""
    screen = output()
    screen.width = 1000
    screen.width = Measurement.get(screen, screen.options, found).maximum
    screen.print(found)


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=parts, default=PARTS, metavar="CASE[,CASE…]")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, default=Path("runs/bench.json"))
    return parser.parse_args()


def parts(text: str) -> tuple[str, ...]:
    """Return the parts named in a list with commas."""
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return names


def in_fresh_processes(only: tuple[str, ...]) -> dict[str, Any]:
    """Return first steps and peak memory of every form of the cases wanted, by case and form."""
    wanted = [name for name in CASES if name in only] or list(CASES)
    result: dict[str, Any] = {}
    for name in wanted:
        result[name] = {}
        for form in [*forms_of(make(name)), *(["torch"] if HAS_TORCH else [])]:
            say(f"{name}, {form}: in fresh processes")
            result[name][form] = cold_and_warm(name, form, warm=form == OURS)
    if "mnist" in wanted:
        say("mnist, unroll of 1000: in a fresh process")
        result["mnist, 1000 steps"] = {OURS: spawn("mnist", OURS, steps=1000)}
    return result


def say(text: str) -> None:
    """Say what is being done, beside the results."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
