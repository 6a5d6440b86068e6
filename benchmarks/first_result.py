"""How long a command takes to its first result: with nothing kept, and with what it keeps.

    python benchmarks/first_result.py
    python benchmarks/first_result.py evaluate mnist-lstm mnist --seeds 8

A command keeps three things in the cache folder: kernels in C++, programs that XLA has compiled,
and searches for rates. The command runs in a process of its own with an empty cache, and then three
times with more of it kept. Factors are relative to the last run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = ("evaluate", "quadratic-lstm", "quadratic")
# What is deleted before a run, in folders of the cache.
STAGES = {
    "nothing kept": ("native", "jax", "tuned"),
    "kernels kept": ("jax", "tuned"),
    "kernels and programs": ("tuned",),
    "searches too": (),
}


def seconds(command: list[str], folder: str, without: tuple[str, ...]) -> float:
    """Return how long the command takes in a process of its own, without parts of the cache."""
    for part in without:
        shutil.rmtree(Path(folder) / "metadescent" / part, ignore_errors=True)
    started = time.perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": folder}
    done = subprocess.run(
        [sys.executable, "-m", "metadescent", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Time a command to its first result.")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of metadescent")
    command: list[str] = parser.parse_args().command or [*COMMAND]
    print(f"metadescent {' '.join(command)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        times = {stage: seconds(command, folder, parts) for stage, parts in STAGES.items()}
    *_, all_kept = times.values()
    for stage, taken in times.items():
        print(f"{stage:24} {taken:6.1f} s   {taken / all_kept:5.1f} ×")


if __name__ == "__main__":
    main()
