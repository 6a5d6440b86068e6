"""Sizes as people write them, and what a machine has."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metadescent._text import format_bytes
from metadescent.runs.memory import available, parse_bytes, resident

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
