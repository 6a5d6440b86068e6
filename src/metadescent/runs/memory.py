"""The memory of a machine: what this process holds, what it may hold, sizes as text; no JAX.

All sizes are in bytes.
"""

import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from metadescent._errors import UserError


def parse_bytes(text: str) -> int:
    """Return the size that a text such as 500 MB, 2GiB or 2G (the same as 2GiB) states."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(?:([KMGT]?)(i?)B?)", text.strip(), re.IGNORECASE)
    if not match or (match[3] and not match[2]):
        raise UserError(f"{text!r} is no amount of memory; try 2GiB or 500MB")
    number, prefix, binary = match.groups()
    # kB are 1000 bytes; KiB, and K alone, are 1024.
    is_decimal = prefix and not binary and text.strip()[-1] in "bB"
    return int(
        float(number) * (1000 if is_decimal else 1024) ** " KMGT".index(prefix.upper() or " ")
    )


def resident() -> int:
    """Return what this process holds now; if the system does not tell, its peak so far, or 0."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems KiB.
    return peak if sys.platform == "darwin" else 1024 * peak


def available(held: int, root: Path = Path("/")) -> int | float:
    """Return how much a process that holds `held` may hold in all, infinite if nothing is known.

    It is the least of what it holds plus what is free, and of the limits of its control groups.
    `root` is where /proc and /sys are.
    """
    limits = list(_group_limits(root))
    free = re.search(r"^MemAvailable:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    if free:
        # The memory that is free without swapping includes caches that the system would give up.
        limits.append(held + 1024 * int(free[1]))
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=math.inf)


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the process's control groups, version 2 or 1, up to the outermost."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            folder, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # The limits of the outer groups hold for a group, too.
        inner = PurePosixPath(path.lstrip("/"))
        for group in (inner, *inner.parents):
            limit = _read(folder / group / name).strip()
            # Version 2 writes "max" if there is no limit.
            if limit.isdigit():
                yield int(limit)


def _read(path: Path) -> str:
    """Return what a file says, nothing if it is absent or may not be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
