"""Install the package in a new environment, outside of the repository, and see that it works there.

    python tools/clean_install.py [--python python3.12] [--repeats 9] [--extra torch]

This makes a virtual environment in a temporary folder, installs the checkout there with the
versions of constraints.txt, and then works in that folder. The zoo is loaded without the network:
in a network namespace of its own where the system allows that (`unshare`), and everywhere with an
audit hook that refuses to look up or connect to anything. The time of an import is the median over
several new processes, each without namespace and hook. Exit status 1 means that a check failed. The
folder, of about 1 GB, is removed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
PRETRAINED = CHECKOUT / "src" / "metadescent" / "zoo" / "pretrained"
SHIPPED = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
MOST_SECONDS = 0.3
IMPORT = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import metadescent
print(time.perf_counter() - wall, time.process_time() - cpu)
"""
OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise ConnectionRefusedError(f"{event} {arguments!r}: there is to be no network")

sys.addaudithook(refuse)
"""
ZOO = """
import json
from pathlib import Path

import jax
import metadescent

found = {}
for name in metadescent.zoo.names():
    leaves = jax.tree.leaves(metadescent.load(name))
    found[name] = sum(leaf.size for leaf in leaves)
    assert metadescent.zoo.card(name).startswith(f"# {name}")
print(json.dumps({"at": str(Path(metadescent.__file__).parent), "zoo": found}))
"""


def environment(home: Path | None = None) -> dict[str, str]:
    """Return the variables of a process without this one's packages and without its home."""
    ours = ("PYTHON", "METADESCENT", "JAX_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | ({"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")} if home else {})


def without_network() -> list[str]:
    """Return the words that start a process without a network; none where that is not allowed."""
    words = ["unshare", "--map-root-user", "--net"]
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return words if allowed else []


def said(folder: Path, words: list[str], variables: dict[str, str] | None = None) -> str:
    """Return what a command prints in a folder, its home; leave with its words where it fails."""
    variables = environment(folder) if variables is None else variables
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)[:200]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def install(folder: Path, python: str, extra: str = "") -> Path:
    """Install the checkout in a new environment in a folder; return the environment's Python."""
    said(folder, [python, "-m", "venv", "venv"], environment())
    new = folder / "venv" / "bin" / "python"
    what = f"{CHECKOUT}[{extra}]" if extra else str(CHECKOUT)
    words = [str(new), "-m", "pip", "install", "-q", "-c", str(CHECKOUT / "constraints.txt"), what]
    said(folder, words, environment())  # a mirror may stand in the caller's own settings of pip
    return new


def measure(folder: Path, python: Path, repeats: int = 9) -> dict[str, Any]:
    """Return how long an import takes, and what the zoo holds, as that Python sees it offline."""
    offline = without_network()
    times = [said(folder, [str(python), "-c", IMPORT]).split() for _ in range(repeats)]
    wall, cpu = ([float(time[which]) for time in times] for which in (0, 1))
    found = json.loads(said(folder, [*offline, str(python), "-c", OFFLINE + ZOO]))
    return found | {
        "seconds": statistics.median(wall),
        "slowest": max(wall),
        "processor": statistics.median(cpu),
        "namespace": bool(offline),
    }


def main() -> None:
    """Install, measure, print."""
    parser = argparse.ArgumentParser(description="Install the package in a new environment.")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--extra", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metadescent-") as name:
        folder = Path(name).resolve()
        python = install(folder, given.python, given.extra)
        found = measure(folder, python, given.repeats)
        commands = said(folder, [*without_network(), str(python.with_name("metadescent")), "list"])
        inside = Path(found["at"]).is_relative_to(folder)
    holds = {
        f"import metadescent, at most {MOST_SECONDS} s": found["seconds"] <= MOST_SECONDS,
        "it is the one that was installed": inside,
        "every pretrained optimizer loads": sorted(found["zoo"]) == SHIPPED,
        "metadescent list has them": all(name in commands for name in found["zoo"]),
    }
    how = "a network namespace of its own" if found["namespace"] else "an audit hook alone"
    print(f"import metadescent  {found['seconds']:.4f} s, the slowest {found['slowest']:.4f} s")
    print(f"on the processor    {found['processor']:.4f} s; medians of {given.repeats} processes")
    print(f"without a network   {how}")
    for name, size in found["zoo"].items():
        print(f"  {name:24}{size:7,} parameters")
    for claim, right in holds.items():
        print(f"{'yes' if right else 'NO ':4}{claim}")
    raise SystemExit(not all(holds.values()))


if __name__ == "__main__":
    main()
