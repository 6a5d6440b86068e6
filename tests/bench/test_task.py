"""The tasks by name: found without JAX, no name twice, and as the page has them."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent.bench import tasks
from metadescent.bench.task import Split, every_task
from metadescent.problems.base import Problem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
KINDS = {"vision", "generative", "sequence", "language", "tabular", "physics", "synthetic"}


def test_there_are_as_many_as_a_median_needs() -> None:
    assert len(every_task()) >= 36
    assert {task.kind for task in every_task().values()} == KINDS


def test_no_name_is_given_twice() -> None:
    modules = [
        importlib.import_module(f"{tasks.__name__}.{info.name}")
        for info in pkgutil.iter_modules(tasks.__path__)
    ]
    assert sum(len(module.NAMED) for module in modules) == len(every_task())


def test_the_names_are_listed_without_jax() -> None:
    program = (
        "import sys; from metadescent.bench.task import every_task; every_task(); "
        "print(*{'jax', 'numpy', 'equinox'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("name", every_task())
def test_a_name_can_be_typed_and_its_summary_is_one_line(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    summary = every_task()[name].summary
    assert 0 < len(summary) <= 80
    assert "\n" not in summary
    assert "|" not in summary


def row_of(name: str, split: Split) -> str:
    """Return what the page has to say of a task."""
    key = jax.random.key(0)
    theta = jax.eval_shape(lambda: split.train.sample(key).init(key))
    coordinates = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(theta))
    batch = batch_of(split.train)
    task = every_task()[name]
    return f"| `{name}` | {task.kind} | {task.summary} | {coordinates:,} | {batch} |"


def batch_of(problem: Problem) -> int | None:
    return jax.eval_shape(lambda: problem.sample(jax.random.key(0))).batch_size


def test_the_page_has_a_row_for_every_task(splits: dict[str, Split]) -> None:
    section = PAGE.partition("## The tasks")[2]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    # Of tasks whose data is not there, the name; the others word by word.
    assert [re.findall("`(.+?)`", row)[0] for row in rows] == [*every_task()]
    for name, row in zip(every_task(), rows, strict=True):
        assert name not in splits or row == row_of(name, splits[name])
