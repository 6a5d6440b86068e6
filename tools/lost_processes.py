"""Kill a random process of a run, at random moments, and check that the run ends with the right φ.

    python tools/lost_processes.py [--times 20] [--processes 2] [--seed 0]

One run of several processes is left alone. Another run of the same recipe loses a random process,
at a random time after each of its starts, and is started again by `--restarts`. In the end the φ of
both runs are compared. The exit status is 1 if a loss was not noticed within 20 seconds, or if the
φ differ by more than the order of summation can explain.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from blows import hit
from safetensors.numpy import load_file

from metadescent.runs.checkpoint import checkpoints, latest_epoch
from metadescent.runs.cluster.launcher import MAIN
from metadescent.runs.folder import CHECKPOINTS

SECONDS = 20.0
TOLERANCE = 1e-3
WORDS = [
    "train",
    "quadratic(dimension=2)",
    *("--optimizer", "lstm(layers=(2,), p=None)", "--steps", "4", "--unroll", "2"),
    *("--problems", "4", "--validation-problems", "4", "--episodes", "1"),
]


def start(folder: Path, epochs: int, *more: str) -> subprocess.Popen:
    """Start a run."""
    words = [*WORDS, "--epochs", str(epochs), "--out", str(folder), *more]
    command = [sys.executable, "-c", MAIN, *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def children(process: subprocess.Popen) -> list[int]:
    """Return the processes that a process has started."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def newest(folder: Path) -> int:
    """Return the epoch of the newest checkpoint."""
    return latest_epoch(folder / CHECKPOINTS)


def blows(process: subprocess.Popen, folder: Path, times: int, count: int, lot: random.Random):
    """Kill one of the processes after each start; yield how long the others lived on."""
    for _ in range(times):
        wait_for(lambda: len(children(process)) == count or process.poll() is not None)
        alive = children(process)
        before = newest(folder)
        # While they start, or after some epochs.
        if lot.random() < 0.8:
            wait_for(lambda at=before: newest(folder) > at or process.poll() is not None)
        time.sleep(lot.uniform(0.0, 0.5))
        if process.poll() is not None or not alive:
            return
        victim = lot.choice(alive)
        # One that had ended by itself was not killed.
        if not hit(victim, signal.SIGKILL):
            continue
        at = time.monotonic()
        wait_for(lambda pids=alive: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        yield alive.index(victim), newest(folder), time.monotonic() - at


def wait_for(true: object) -> None:
    """Wait, for two minutes at most."""
    end = time.monotonic() + 120
    while not true() and time.monotonic() < end:
        time.sleep(0.002)


def phi_of(folder: Path) -> dict[str, np.ndarray]:
    """Return φ of the last checkpoint."""
    arrays = load_file(checkpoints(folder / CHECKPOINTS)[-1])
    return {name: value for name, value in arrays.items() if name.startswith("m/")}


def main() -> int:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=0, help="60 for each time, if not given")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    lot, count = random.Random(arguments.seed), arguments.processes
    epochs = arguments.epochs or 60 * arguments.times
    with tempfile.TemporaryDirectory() as folder:
        alone, lost = Path(folder, "alone"), Path(folder, "lost")
        seats = ("--processes", str(count))
        _, said = start(alone, epochs, *seats).communicate()
        process = start(lost, epochs, *seats, "--restarts", str(arguments.times))
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr))
        reader.start()
        slowest, done = 0.0, 0
        for index, epoch, seconds in blows(process, lost, arguments.times, count, lot):
            done, slowest = done + 1, max(slowest, seconds)
            print(f"killed process {index} after epoch {epoch}: all ended in {seconds:.2f} s")
        status = process.wait()
        reader.join()
        sentences = sum("was killed by SIGKILL" in line for line in errors)
        tracebacks = sum("Traceback" in line for line in errors)
        if status or newest(lost) != epochs or newest(alone) != epochs:
            print(said, "".join(errors), sep="\n")
            print(f"status {status}, epoch {newest(lost)} of {epochs}")
            return 1
        one, other = phi_of(alone), phi_of(lost)
        apart = max(
            float(np.max(np.abs(one[name] - other[name])) / np.max(np.abs(one[name])))
            for name in one
        )
    print(
        f"{done} kills, {sentences} sentences, {tracebacks} tracebacks, the slowest end in "
        f"{slowest:.2f} s; φ is {apart:.1e} from that of the run that was left alone"
    )
    return int(apart > TOLERANCE or slowest > SECONDS or sentences < done)


if __name__ == "__main__":
    sys.exit(main())
