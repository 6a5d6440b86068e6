"""What a meta-step costs on more devices than there are here: a calculation from measured times.

    python benchmarks/cost.py [runs/processes.json] [--round-trip SECONDS] [--problems 512]

On n devices a meta-step takes its share of the problems and one exchange of φ's gradient:

    T(n) = s · B/n + e(n)        s: seconds a problem;  B: problems;  e(1) = 0

s and e(2) are measured by `benchmarks/processes.py`. The gradient is some kilobytes long, so an
exchange is waiting, not transport. In a ring, as gloo's, each device waits 2 (n − 1) times for its
neighbour, in a tree, as NCCL's, 2 log₂ n times; e(2) is two of these waits, or with --round-trip
those of another network. Bytes are added at 1 GB/s, which hardly shows.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

from metadescent.cli.console import output, table

Way = Callable[[int, float, float], float]
DEVICES = (1, 8, 64, 512)
BYTES_A_SECOND = 1e9
MATTERS = 0.1
"""Share of a meta-step from which an exchange is said to matter."""


def ring(n: int, wait: float, size: float) -> float:
    """Return the seconds of a sum over n devices in a ring.

    Example:
        >>> ring(1, 1.0, 0.0), ring(2, 1.0, 0.0), ring(8, 1.0, 0.0)
        (0.0, 2.0, 14.0)
    """
    return 2 * (n - 1) * (wait + size / n / BYTES_A_SECOND)


def tree(n: int, wait: float, size: float) -> float:
    """Return the seconds of a sum over n devices in a tree.

    Example:
        >>> tree(1, 1.0, 0.0), tree(2, 1.0, 0.0), tree(8, 1.0, 0.0)
        (0.0, 2.0, 6.0)
    """
    return 2 * math.log2(n) * (wait + size / BYTES_A_SECOND)


def begins_to_matter(problems: int, a_problem: float, wait: float, size: float, way: Way) -> str:
    """Say from how many devices on, a power of two, the exchange takes a tenth of T(n).

    Example:
        >>> begins_to_matter(64, 1.0, 1.0, 0.0, tree), begins_to_matter(64, 1e3, 1.0, 0.0, tree)
        ('from 4 devices on', 'on no number of devices')
    """
    n = 1
    while n <= problems:
        exchange = way(n, wait, size)
        if exchange > MATTERS * (a_problem * problems / n + exchange):
            return f"from {n} devices on"
        n *= 2
    return "on no number of devices"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, nargs="?", default=Path("runs/processes.json"))
    parser.add_argument("--round-trip", type=float, help="of another network, in seconds")
    parser.add_argument("--problems", type=int, default=512, help="of the batch that is shared")
    arguments = parser.parse_args()
    found = json.loads(arguments.measured.read_text())
    a_problem = found["median"]["one"] / found["problems"]
    wait = arguments.round_trip / 2 if arguments.round_trip else found["median"]["exchange"] / 2
    size = found["bytes"]
    output().print(
        f"Measured: {1e3 * a_problem:.1f} ms a problem of a meta-step, {1e3 * wait:.2f} ms a wait, "
        f"{size:,} bytes to exchange; {found['hardware']}; load {found['load']['before'][0]}."
    )
    columns = ["devices", "problems each", "compute, ms", "ring, ms", "tree, ms", "times as fast"]
    for title, each in {
        f"{arguments.problems} problems, shared": lambda n: arguments.problems / n,
        f"{found['problems']} problems on every device": lambda n: float(found["problems"]),
    }.items():
        rows = []
        for n in DEVICES:
            compute = a_problem * each(n)
            ways = [way(n, wait, size) for way in (ring, tree)]
            alone = a_problem * each(n) * n
            gains = [alone / (compute + way) for way in ways]
            rows.append(
                [
                    str(n),
                    f"{each(n):g}",
                    f"{1e3 * compute:.1f}",
                    *(f"{1e3 * way:.2f}" for way in ways),
                    " – ".join(f"{gain:.3g}" for gain in gains) if n > 1 else "1",
                ]
            )
        output().print(table(title, columns, rows))
    found = [begins_to_matter(arguments.problems, a_problem, wait, size, w) for w in (ring, tree)]
    output().print(
        f"Of {arguments.problems} problems that are shared, the exchange takes a tenth of a "
        f"meta-step {found[0]} in a ring, {found[1]} in a tree."
    )


if __name__ == "__main__":
    main()
