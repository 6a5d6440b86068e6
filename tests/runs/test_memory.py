"""Sizes as people write them, what a machine has, and that a run takes what was predicted."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metadescent._text import format_bytes
from metadescent.runs.memory import Prediction, available, parse_bytes, remedies, resident
from metadescent.runs.recipe import Recipe

GIB = 2**30


@given(st.integers(0, 2**50))
@example(1_105_009_185_914_881)
def test_a_size_is_read_back_as_it_was_written(size: int) -> None:
    text = format_bytes(size)
    assert len(text.split()[0]) <= 5
    assert parse_bytes(text) == pytest.approx(size, rel=0.005)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 * GIB),
        ("2 gib", 2 * GIB),
        ("2G", 2 * GIB),
        ("2GB", 2 * 10**9),
        ("1.5kB", 1500),
        (".5 KiB", 512),
        ("100", 100),
        ("100B", 100),
    ],
)
def test_sizes_are_read_as_they_are_meant(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "2 GiB free", "2iB", "1e9", "nan", "2PB"])
def test_what_is_no_size_is_refused(text: str, sentence: Callable) -> None:
    assert sentence(parse_bytes, text) == f"{text!r} is no amount of memory; try 2GiB or 500MB"


def machine(root: Path, files: dict[str, str]) -> Path:
    """A folder in which /proc and /sys say what a machine has."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


FREE = {"proc/meminfo": f"MemTotal: {64 * 2**20} kB\nMemAvailable: {8 * 2**20} kB"}
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 9 * GIB),
        # Version 2: the least of the groups that it is in, and of what is free.
        ({"proc/self/cgroup": "0::/", f"{V2}/memory.max": "max"}, 9 * GIB),
        ({"proc/self/cgroup": "0::/", f"{V2}/memory.max": str(2 * GIB)}, 2 * GIB),
        ({"proc/self/cgroup": "0::/a/b", f"{V2}/a/memory.max": str(3 * GIB)}, 3 * GIB),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                f"{V2}/a/memory.max": str(3 * GIB),
                f"{V2}/a/b/memory.max": str(2 * GIB),
            },
            2 * GIB,
        ),
        ({"proc/self/cgroup": "0::/a", f"{V2}/other/memory.max": str(GIB)}, 9 * GIB),
        # Version 1, whose way to say that there is no limit is a large one.
        (
            {
                "proc/self/cgroup": "5:cpu:/a\n4:cpuset,memory:/a\n0::/",
                f"{V1}/memory.limit_in_bytes": "9223372036854771712",
                f"{V1}/a/memory.limit_in_bytes": str(4 * GIB),
            },
            4 * GIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a",
                f"{V1}/memory.limit_in_bytes": "9223372036854771712",
            },
            9 * GIB,
        ),
    ],
)
def test_there_is_what_is_free_and_allowed(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert available(GIB, machine(tmp_path, FREE | files)) == expected


def test_a_machine_that_does_not_say_what_is_free_has_what_is_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert available(GIB, tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.delattr(os, "sysconf")
    assert available(GIB, tmp_path) == math.inf


def test_this_machine_has_more_than_this_process_holds() -> None:
    before = resident()
    assert 0 < before < available(before)
    block = bytearray(b"1") * (64 * 2**20)
    assert resident() - before == pytest.approx(len(block), rel=0.25)


RECIPE = Recipe(steps=100, unroll=20, problems=64, validation_problems=32)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (Prediction("two-phase", 100, 50, 1000, 600), ["--validation-problems 14"]),
        (Prediction("recompute", 100, 1000, 50, 600), ["--problems 28", "--unroll 5"]),
        (Prediction("recompute", 100, 10_000, 50, 600), ["--problems 2"]),
        (Prediction("segments", 700, 1000, 50, 600), []),
    ],
)
def test_remedies_are_for_the_program_that_takes_more(
    prediction: Prediction, expected: list[str]
) -> None:
    assert remedies(prediction, 600, RECIPE) == expected


# The whole command, in a process of its own, which tells the most that it ever held. On Linux
# ru_maxrss is no less than what the process that started it held.
PROGRAM = """
import re, resource
from pathlib import Path
from metadescent.cli import main
main()
status = Path("/proc/self/status")
if status.exists():
    print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
ONE_STEP = ["--steps", "20", "--unroll", "20", "--epochs", "1", "--episodes", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--form", "two-phase", "--problems", "150000", "--validation-problems", "1"],
        ["--form", "segments", "--problems", "20000", "--validation-problems", "1"],
        ["--problems", "1", "--validation-problems", "200000"],
    ],
    ids=["two-phase", "segments", "validation"],
)
def test_a_run_takes_what_was_predicted(flags: list[str], tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, "train", "quadratic", "--out", str(tmp_path)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*words, *ONE_STEP, *flags], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    _, _, line = done.stderr.partition("Predicted peak memory ")
    predicted, peak = parse_bytes(line.partition(" (")[0]), int(done.stdout.splitlines()[-1])
    # JAX alone holds about a third of a GiB: most of this is the run's.
    assert peak > GIB
    assert predicted == pytest.approx(peak, rel=0.25)
