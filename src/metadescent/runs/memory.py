"""The memory of a run: what the process holds, what its programs add, what the machine has; no JAX.

All sizes are in bytes.
"""

import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from metadescent._errors import UserError
from metadescent.runs.recipe import Recipe


class Prediction(NamedTuple):
    """What a run is predicted to take.

    `form` is how the meta-gradient is computed. `held` is what the process holds before the first
    epoch; `epoch` and `validation` are what the two programs that then take turns add to it.
    `available` is how much the process may hold in all, infinite where that is not known.

    Example:
        >>> Prediction("two-phase", held=300, epoch=50, validation=20, available=1000).peak
        350
    """

    form: str
    held: int
    epoch: int
    validation: int
    available: int | float

    @property
    def peak(self) -> int:
        """Return the largest amount that the process will hold at once."""
        return self.held + max(self.epoch, self.validation)

    @property
    def program(self) -> str:
        """Say which of the two programs takes more."""
        return "validation" if self.validation > self.epoch else "the meta-gradient"


def remedies(prediction: Prediction, limit: int | float, recipe: Recipe) -> list[str]:
    """Return flags that are likely to bring a run below a limit, by the program that takes more.

    Example:
        >>> large = Prediction("two-phase", held=200, epoch=50, validation=800, available=600)
        >>> remedies(large, 600, Recipe(validation_problems=64))
        ['--validation-problems 28']
    """
    # Not all of what a program takes goes with these numbers; hence the tenth.
    share = 0.9 * (limit - prediction.held) / (prediction.peak - prediction.held)
    if prediction.program == "validation":
        found = {"validation-problems": int(share * recipe.validation_problems)}
    else:
        lengths = range(1, int(share * recipe.unroll) + 1)
        found = {
            "problems": int(share * recipe.problems),
            "unroll": max((n for n in lengths if recipe.steps % n == 0), default=0),
        }
    return [f"--{flag} {value}" for flag, value in found.items() if value > 0]


def parse_bytes(text: str) -> int:
    """Return the size that a text such as 2GiB or 500 MB states.

    The letters K, M, G and T alone stand for KiB, MiB, GiB and TiB.

    Example:
        >>> parse_bytes("1.5GiB"), parse_bytes("2 kb"), parse_bytes("3M")
        (1610612736, 2000, 3145728)
        >>> parse_bytes("plenty")
        Traceback (most recent call last):
        metadescent.UserError: 'plenty' is no amount of memory; try 2GiB or 500MB
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(?:([KMGT]?)(i?)B?)", text.strip(), re.IGNORECASE)
    if not match or (match[3] and not match[2]):
        raise UserError(f"{text!r} is no amount of memory; try 2GiB or 500MB")
    number, prefix, binary = match.groups()
    is_decimal = prefix and not binary and text.strip()[-1] in "bB"
    return int(
        float(number) * (1000 if is_decimal else 1024) ** " KMGT".index(prefix.upper() or " ")
    )


def resident() -> int:
    """Return what this process holds now; where the system does not tell, its peak so far, or 0.

    Example:
        >>> resident() > 2**20
        True
    """
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def available(held: int, root: Path = Path("/")) -> int | float:
    """Return how much a process that holds `held` may hold in all, infinite where nothing tells.

    That is the least of what it holds and what is free, and the limits of the control groups that
    it is in. `root` is where /proc and /sys are found.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Path(root, "proc").mkdir()
        ...     _ = Path(root, "proc/meminfo").write_text("MemAvailable: 1000 kB")
        ...     available(500, Path(root))
        1024500
    """
    limits = list(_group_limits(root))
    free = re.search(r"^MemAvailable:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    if free:
        limits.append(held + 1024 * int(free[1]))
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=math.inf)


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the process's control groups, version 2 or 1, up to the outermost."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folder, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for group in (inner, *inner.parents):
            limit = _read(folder / group / name).strip()
            if limit.isdigit():
                yield int(limit)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
