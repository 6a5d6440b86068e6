"""Try faults in processes, numbers, files, kernels and surroundings; print a table at the end.

    python tools/torture.py              the whole suite, as `make torture`
    python tools/torture.py --share 0.05 a twentieth of it
    python tools/torture.py --only files processes, numbers, files, kernels or surroundings alone

The exit status is 1 if anything was lost. The tool then prints what is needed to repeat the loss.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MUTATIONS = 155_000
NUMBER_RUNS = 8


def main() -> None:
    """Run the suite, or a share of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the whole suite")
    parser.add_argument("--seed", type=int, default=0, help="of all faults")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--json", type=Path, help="file for the counts and what was lost")
    chosen = parser.parse_args()
    begun, rows, lost = time.monotonic(), Counter(), []
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        # Programs are compiled once for all processes.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        first, *rest = [chosen.only] if chosen.only else PARTS
        tried, said = PARTS[first](folder / first, chosen)
        rows, lost = rows + tried, lost + said
        print(f"{first}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
        # The first takes all processors; each of the others one, in a process of its own.
        with ThreadPoolExecutor(chosen.workers) as pool:
            for tried, said in pool.map(lambda part: alone(part, folder, chosen), rest):
                rows, lost = rows + tried, lost + said
    if chosen.json:
        chosen.json.write_text(json.dumps([rows, lost]), encoding="utf-8")
    print(table(rows, lost))
    minutes = (time.monotonic() - begun) / 60
    print(
        f"{minutes:.1f} minutes, {chosen.workers} processes at a time, {os.cpu_count()} processors"
    )
    sys.exit(bool(lost))


def alone(part: str, folder: Path, chosen: argparse.Namespace) -> tuple[Counter, list]:
    """Do a part in a process of its own; one that ends by itself has lost."""
    told = folder / f"{part}.json"
    words = [f"--{name}={value}" for name, value in vars(chosen).items() if value is not None]
    words += [f"--only={part}", f"--json={told}"]
    ended = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.DEVNULL)
    if not told.is_file():
        return Counter({part: 1}), [(part, f"{part}: ended with status {ended.returncode}")]
    rows, lost = json.loads(told.read_text(encoding="utf-8"))
    return Counter(rows), [(kind, said) for kind, said in lost]


def processes(folder: Path, chosen: argparse.Namespace) -> tuple[Counter, list]:
    """Strike processes that train, two victims at a time."""
    import crashes

    crashes.preload()
    expected = crashes.expected_end(folder / "unbroken")
    chance, struck, lost = random.Random(chosen.seed), Counter(), []
    wanted = Counter({k: max(1, round(n * chosen.share)) for k, n in crashes.KINDS.items()})
    with ThreadPoolExecutor(chosen.workers) as pool:
        for round_ in range(20):
            kinds = sorted((wanted - struck).elements())
            if not kinds or lost:
                break
            chance.shuffle(kinds)
            jobs = []
            for first in range(0, len(kinds), crashes.PER_VICTIM):
                victim = folder / f"victim-{round_}-{first}"
                some = kinds[first : first + crashes.PER_VICTIM]
                jobs.append(pool.submit(crashes.torment, victim, some, expected, chance.random()))
            for job in jobs:
                counts, said = job.result()
                struck += counts
                # What befell a run that was lost is lost, all of it.
                lost += [(kind, said) for kind in counts.elements()] if said else []
    return struck, lost


def numbers(folder: Path, chosen: argparse.Namespace) -> tuple[Counter, list]:
    """Let losses and gradients be NaN or infinite."""
    import nonfinite_faults

    struck, lost = Counter(), []
    each = max(1, round(NUMBER_RUNS * chosen.share))
    for kind, count, said in nonfinite_faults.faults(folder, each, chosen.seed):
        struck[kind] += count
        lost += [(kind, said)] if said else []
    return struck, lost


def files(folder: Path, chosen: argparse.Namespace) -> tuple[Counter, list]:
    """Read mutated files."""
    import fuzz

    return fuzz.run(folder, round(MUTATIONS * chosen.share), chosen.seed)


def kernels(folder: Path, chosen: argparse.Namespace) -> tuple[Counter, list]:
    """Call kernels in C++ with what fits and what does not."""
    import native_fuzz

    return native_fuzz.run(folder, round(native_fuzz.COUNT * chosen.share), chosen.seed)


def surroundings(folder: Path, chosen: argparse.Namespace) -> tuple[Counter, list]:
    """Be among the files, terminals, settings, states and data of others."""
    import surroundings

    return surroundings.run(folder, chosen.share, chosen.seed)


def table(tried: Counter, lost: list[tuple[str, str]]) -> str:
    """Return faults tried, survived and lost, kind by kind, and what was lost below."""
    missed = Counter(kind for kind, _ in lost)
    kinds = [*tried, *(kind for kind in missed if kind not in tried)]
    rows = [(kind, tried[kind], tried[kind] - missed[kind], missed[kind]) for kind in kinds]
    rows.append(("in all", *(sum(row[n] for row in rows) for n in (1, 2, 3))))
    lines = [f"{'fault':44}{'tried':>10}{'survived':>10}{'lost':>6}"]
    lines += [f"{kind:44}{a:>10,}{b:>10,}{c:>6,}" for kind, a, b, c in rows]
    return "\n".join([*lines, *dict.fromkeys(said for _, said in lost)])


# The first takes all processors, and the longest of the others comes next.
PARTS: dict[str, Callable[[Path, argparse.Namespace], tuple[Counter, list]]] = {
    part.__name__: part for part in (processes, surroundings, files, kernels, numbers)
}

if __name__ == "__main__":
    main()
