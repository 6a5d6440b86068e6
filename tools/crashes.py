"""Runs that are interrupted and go on end as an undisturbed run does, bit for bit.

A *victim* is a run folder. One process after the other trains in it, and each meets a fault, except
the last one, which trains to the end. The processes are real, and so are the signals.
"""

import json
import multiprocessing
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from blows import EPOCH, EPOCHS, STAGES, Blow, begun, hit, train

from metadescent._errors import UserError
from metadescent._files import LOCK
from metadescent.runs.checkpoint import checkpoints, latest_epoch
from metadescent.runs.folder import CHECKPOINTS, CONFIG, OPTIMIZER
from metadescent.runs.log import read_metrics
from metadescent.zoo.cards import read_card
from metadescent.zoo.tensors import CHECKSUM, read_tensors

PER_VICTIM = 6
PATIENCE = 300.0
SECONDS_TO_END = 4.0  # after a signal, of which half are for a busy machine

KINDS = {
    "SIGKILL at a random moment": 60,
    "SIGKILL within a write": 60,
    "SIGTERM": 20,
    "SIGINT (Ctrl-C)": 20,
    "a signal in a program that does not end": 20,
    "disk full at a random write": 30,
    "newest checkpoint truncated": 20,
    "newest checkpoint with a flipped bit": 20,
    "two processes on one folder": 10,
}
"""How many faults of each kind the whole suite has."""
FORKED = multiprocessing.get_context("forkserver")
_BOOKS = threading.Lock()
"""Held where it is read how a process ended: who starts one reads that of all, and the status of a
process can be read once. A second reader takes it for 255."""


class LostError(Exception):
    """A run did not do what it should have; the message says what it did."""


def preload() -> None:
    """Import what the victims need once, in the process that theirs are forked from."""
    FORKED.set_forkserver_preload(["metadescent.cli", "metadescent.cli.training"])


def expected_end(folder: Path) -> dict[str, Any]:
    """Return what an undisturbed run leaves."""
    finish(folder)
    return left_by(folder)


def torment(folder: Path, kinds: Iterable[str], expected: Any, seed: int) -> tuple[Counter, str]:
    """Strike one victim; return how many faults of each kind struck, and what was lost, if so.

    A fault that comes too late, when the run is over, is not counted.
    """
    chance, struck = random.Random(seed), Counter()
    try:
        for kind in kinds:
            struck[kind] += strike(folder, kind, chance)
        finish(folder)
    except LostError as lost:
        return struck, f"{folder.name}, after {dict(struck)}: {lost}"
    end = left_by(folder)
    differs = [name for name in expected if end[name] != expected[name]]
    return struck, f"{folder.name}, after {dict(struck)}: {differs} differ" if differs else ""


def strike(folder: Path, kind: str, chance: random.Random) -> bool:
    """Let a process train and meet one fault; tell whether it struck before the run was over."""
    if kind.startswith("newest checkpoint"):
        return damage(folder, kind, chance)
    if kind.startswith("two"):
        return refuse(folder)
    if "write" in kind:
        deadly = kind.startswith("SIGKILL")
        blow = Blow(chance.randrange(15), chance.choice(STAGES[: 4 if deadly else 3]), deadly)
        process = start(folder, blow)
        join(process)
        if status_of(process) == 0:
            return False
        expect(process, folder, -signal.SIGKILL if deadly else 2, "" if deadly else "disk is full")
        return True
    if kind.endswith("does not end"):
        return interrupt(folder, chance)
    number, status, word = {
        "SIGKILL": (signal.SIGKILL, -signal.SIGKILL, ""),
        "SIGTERM": (signal.SIGTERM, 143, "metadescent: terminated"),
        "SIGINT": (signal.SIGINT, 130, "metadescent: stopped"),
    }[kind.split()[0]]
    process = start(folder)
    goal = newest(folder) + chance.randrange(7)
    if goal > newest(folder):
        wait(lambda: newest(folder) >= goal, process)
        time.sleep(chance.uniform(0.0, 0.03))
    else:
        time.sleep(chance.uniform(0.0, 3.0))
    # It may have ended before the blow fell, which then does not count.
    hit(process.pid, number)
    join(process)
    if status_of(process) == 0:
        return False
    expect(process, folder, status, word)
    return True


def interrupt(folder: Path, chance: random.Random) -> bool:
    """Ask a process to end while it is in an epoch that does not."""
    begun(folder).unlink(missing_ok=True)
    process = start(folder, Blow(chance.randrange(5), EPOCH, deadly=False))
    wait(begun(folder).exists, process)
    if not begun(folder).exists():
        return False
    number, word = chance.choice([(signal.SIGTERM, "terminated"), (signal.SIGINT, "stopped")])
    struck, asked = hit(process.pid, number), time.monotonic()
    join(process)
    if not struck and status_of(process) == 0:
        return False
    if time.monotonic() - asked > SECONDS_TO_END:
        raise LostError(f"it ended {time.monotonic() - asked:.1f} s after it was asked to")
    expect(process, folder, 128 + number, f"metadescent: {word}; what was saved before is kept")
    return True


def damage(folder: Path, kind: str, chance: random.Random) -> bool:
    """Damage the newest of two checkpoints; the process after it says so, and is killed."""
    if newest(folder) < 2:
        # Of ten writes the last is in the third epoch.
        join(start(folder, Blow(10, "replaced", deadly=True)))
    paths = checkpoints(folder / CHECKPOINTS)
    if len(paths) < 2 or newest(folder) == EPOCHS:
        return False
    data = paths[-1].read_bytes()
    if kind.endswith("truncated"):
        data = data[: chance.randrange(len(data))]
    else:
        # But for the word that announces the checksum: without it a whole file has none.
        word = data.index(CHECKSUM.encode())
        place = chance.choice([n for n in range(len(data)) if not 0 <= n - word < len(CHECKSUM)])
        flipped = data[place] ^ 1 << chance.randrange(8)
        data = data[:place] + bytes([flipped]) + data[place + 1 :]
    paths[-1].write_bytes(data)
    process = start(folder, Blow(chance.randrange(1, 9), "replaced", deadly=True))
    join(process)
    expect(process, folder, -signal.SIGKILL, f"of epoch {int(paths[-2].stem[6:])}")
    return True


def refuse(folder: Path) -> bool:
    """Start a second process while one trains; then kill that one, whose lock must go with it."""
    first, held = start(folder), folder / LOCK
    wait(lambda: held.exists() and held.read_text() == str(first.pid), first)
    hit(first.pid, signal.SIGSTOP)
    second = start(folder, said="second")
    join(second)
    first.kill()
    join(first)
    if status_of(first) == 0:
        return False
    expect(second, folder, 2, f"is in use by process {first.pid}", said="second")
    return True


def finish(folder: Path) -> None:
    """Train to the end."""
    process = start(folder)
    join(process)
    expect(process, folder, 0)


def start(folder: Path, blow: Blow | None = None, said: str = "said") -> BaseProcess:
    """Start a process that trains in a folder, and wait until it has come to the command."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = FORKED.Event()
    process = FORKED.Process(target=train, args=(folder, blow, ready, _beside(folder, said)))
    with _BOOKS:
        process.start()
    if not ready.wait(PATIENCE):
        raise LostError("a process did not start")
    return process


def status_of(process: BaseProcess) -> int | None:
    """Return how a process ended, None if it has not."""
    with _BOOKS:
        return process.exitcode


def join(process: BaseProcess) -> None:
    """Wait until a process is over, or patience is."""
    deadline = time.monotonic() + PATIENCE
    while status_of(process) is None and time.monotonic() < deadline:
        time.sleep(0.002)


def expect(
    process: BaseProcess, folder: Path, status: int, word: str = "", said: str = "said"
) -> None:
    """Raise `LostError` unless a process ended as it should, with a sentence and no traceback."""
    text = _beside(folder, said).read_text()
    if status_of(process) is None:
        process.kill()
        raise LostError("a process hangs")
    if status_of(process) != status or word not in text or "Traceback" in text:
        raise LostError(
            f"exit {status_of(process)} where {status} is expected, {word!r} in: {text[-800:]}"
        )


def wait(reached: Callable[[], bool], process: BaseProcess) -> None:
    """Wait until something is so or the process is over."""
    deadline = time.monotonic() + PATIENCE
    while not reached() and status_of(process) is None and time.monotonic() < deadline:
        time.sleep(0.001)


def newest(folder: Path) -> int:
    """Return the epoch of the newest checkpoint, 0 where there is none."""
    return latest_epoch(folder / CHECKPOINTS)


def left_by(folder: Path) -> dict[str, Any]:
    """Return all that a run leaves, except what a clock says."""
    best = folder / OPTIMIZER
    try:
        card, (leaves, _) = read_card(best), read_tensors(best)
    except UserError as error:
        raise LostError(str(error)) from error
    card["budget"].pop("seconds")
    lines, states = read_metrics(folder), sorted((folder / CHECKPOINTS).iterdir())
    return {
        "config": (folder / CONFIG).read_text(),
        "φ": leaves,
        "card": card,
        # As text, where NaN equals NaN.
        "metrics": [json.dumps({k: v for k, v in x.items() if k != "seconds"}) for x in lines],
        "checkpoints": {path.name: path.read_bytes() for path in states},
    }


def _beside(folder: Path, said: str) -> Path:
    return folder.with_name(f"{folder.name}.{said}")
