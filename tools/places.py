"""Folders with other people's files: these stay as they are, and output is whole or refused."""

import fcntl
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metadescent._errors import UserError
from metadescent._files import check_outputs, locked, temporary_of, write_atomically
from metadescent.runs.checkpoint import KEEP, checkpoints, save_checkpoint
from metadescent.runs.folder import CHECKPOINTS, CONFIG, OPTIMIZER, claim, files_of, read_config
from metadescent.runs.recipe import Recipe

OURS = (CONFIG, OPTIMIZER, "metrics.jsonl", "stopped.json", "result.json", ".lock", CHECKPOINTS)
THEIRS = (
    "notes.txt", "config.json.bak", "epoch-1.safetensors", "epoch-000001.safetensors.bak",
    ".config.json.elsewhere.17.tmp", ".epoch-000001.safetensors.elsewhere.9.tmp", ".hidden.tmp",
    "optimizer.safetensors~", "metrics.jsonl.gz", ".lock.bak", "σ.txt", "a b", "-", "best.pt",
)  # fmt: skip
Received = Callable[[bytes], bytes]
"""What is there after so many bytes were written: where all is well, the same."""


class State(NamedTuple):
    """What a checkpoint is made of, as far as its file goes."""

    epoch: int
    phi: np.ndarray


def state(epoch: int) -> Any:
    """Return a state after so many epochs."""
    return State(epoch, np.full(3, epoch, np.float32))


def sentence(error: UserError) -> str:
    """Return what is wrong with a refusal, if anything is."""
    text = str(error)
    return "" if text and "\n" not in text and len(text) < 2000 else f"no sentence: {text[:300]!r}"


def beside_a_run(place: Path, chance: random.Random) -> str:
    """Begin a run where files of others are, or be refused; they stay as they were."""
    outside = place / "outside"
    outside.write_text("theirs")
    folder = place / "run"
    for name in chance.sample(THEIRS, chance.randrange(5)):
        put(folder / chance.choice(("", CHECKPOINTS, "inner")) / name, outside, chance)
    for name in chance.sample(OURS, chance.choice((0, 0, 0, 1, 2))):
        put(folder / name, outside, chance)
    before = contents(place)
    try:
        with locked(folder):
            claim(folder, "quadratic", Recipe(), chance.random() < 0.3, {})
            for epoch in range(1, chance.randrange(2, 5)):
                save_checkpoint(folder / CHECKPOINTS, state(epoch))
    except UserError as error:
        if wrong := sentence(error):
            return wrong
    return changes(place, before)


def put(path: Path, outside: Path, chance: random.Random) -> None:
    """Put a file, a folder, a link or a pipe of another's at a path, unless something is there."""
    if path.exists() or path.parent.is_symlink() or (path.parent.exists() and path.is_symlink()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        return
    kind = chance.random()
    if kind < 0.1:
        path.symlink_to(outside)
    elif kind < 0.2:
        path.mkdir()
        (path / "theirs").write_text("theirs")
    elif kind < 0.25:
        os.mkfifo(path)
    else:
        path.write_bytes(chance.choice((b"theirs", b"", b"{}", chance.randbytes(9))))


def nested(place: Path, chance: random.Random) -> str:
    """Let two runs go on in turn, one within the other's folder; each keeps its newest two."""
    outer = place / "run"
    inner = outer / Path(*chance.sample(("a", CHECKPOINTS, "run"), chance.randrange(1, 4)))
    epochs = {outer: 0, inner: 0}
    runs = sorted(epochs, key=lambda _: chance.random())
    for run in chance.choices(runs, k=chance.randrange(2, 8)):
        with locked(outer), locked(inner):
            claim(run, str(run), Recipe(), True, {})
            epochs[run] += 1
            save_checkpoint(run / CHECKPOINTS, state(epochs[run]))
    for run in filter(epochs.get, runs):
        last = list(range(1, epochs[run] + 1))[-KEEP:]
        kept = [int(path.stem[-6:]) for path in checkpoints(run / CHECKPOINTS)]
        if kept != last or read_config(run)["problem"] != str(run):
            return f"{run} keeps {kept} of {epochs[run]} epochs"
        if len(files_of(run)) != 1 + len(last):
            return f"{run} holds {files_of(run)}"
    return ""


def written_to(place: Path, chance: random.Random) -> str:
    """Write to what need not be a file: refused, or all of it arrives and nothing else changes."""
    data = chance.randbytes(chance.choice((0, 1, 100, 70_000)))
    path, received = chance.choice(OUTPUTS)(place, chance)
    before = contents(place)
    try:
        check_outputs([path])
        write_atomically(path, data)
    except UserError as error:
        return sentence(error) or changes(place, before)
    if received is None:
        return f"{path} took {len(data)} bytes"
    if (arrived := received(data)) != data:
        return f"{len(data)} bytes were written to {path.name} and {len(arrived)} arrived"
    if temporary_of(path).exists():
        return f"{temporary_of(path)} was left"
    target = os.path.realpath(path)
    return changes(place, {p: x for p, x in before.items() if str(p) != target})


def a_file(place: Path, chance: random.Random) -> tuple[Path, Received]:
    """Return a file that is new or not."""
    path = place / chance.choice(("new", "deep/er/new", "n" * 255, "x.tmp", " ", "ü", "-"))
    if chance.random() < 0.5:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
    return path, lambda _: path.read_bytes()


def a_link(place: Path, chance: random.Random) -> tuple[Path, Received]:
    """Return a link, or one to a link, to what is there or not."""
    target, path = place / "target", place / "link"
    if chance.random() < 0.5:
        target.write_bytes(b"old")
    path.symlink_to(chance.choice((target, Path("target"))))
    for k in range(chance.randrange(3)):
        path.with_name(f"link-{k}").symlink_to(path)
        path = path.with_name(f"link-{k}")
    return path, lambda _: target.read_bytes()


def a_loop(place: Path, chance: random.Random) -> tuple[Path, None]:
    """Return a link that leads to itself."""
    del chance
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    return place / "a", None


def a_pipe(place: Path, chance: random.Random) -> tuple[Path, Received]:
    """Return a pipe that has a name or a number, with room for all that is written."""
    path = place / "pipe"
    os.mkfifo(path)
    # Open at both ends, so that neither waits for the other to begin.
    number = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, 1 << 20)

    def received(data: bytes) -> bytes:
        del data
        parts = []
        try:
            while part := os.read(number, 1 << 20):
                parts.append(part)
        except BlockingIOError:
            pass
        os.close(number)
        return b"".join(parts)

    return (Path(f"/dev/fd/{number}") if chance.random() < 0.5 else path), received


def a_folder(place: Path, chance: random.Random) -> tuple[Path, None]:
    """Return a folder, or what cannot be in a file, or has no name that can be."""
    (place / "file").write_text("theirs")
    (place / "folder" / "inner").mkdir(parents=True)
    names = ("folder", "file/within", "n" * 256, "folder/inner", "file/a/b", ".")
    return place / chance.choice(names), None


def a_device(place: Path, chance: random.Random) -> tuple[Path, Received]:
    """Return a device that takes everything, or that has no room, or a link to one."""
    path = Path(chance.choice(("/dev/null", "/dev/full")))
    has_room = path.name == "null"
    if has_room and chance.random() < 0.5:
        (place / "link").symlink_to(path)
        path = place / "link"
    return path, lambda data: data if has_room else b""


def a_socket(place: Path, chance: random.Random) -> tuple[Path, None]:
    """Return a socket."""
    del chance
    here = Path.cwd()
    os.chdir(place)  # Their names must be short.
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    os.chdir(here)
    return place / "socket", None


OUTPUTS = (a_file, a_link, a_loop, a_pipe, a_folder, a_device, a_socket)


def contents(place: Path) -> dict[Path, Any]:
    """Return what lies in a folder: each file's bytes, each link's end, and the kind of others."""
    held: dict[Path, Any] = {}
    for path in place.rglob("*"):
        if path.is_symlink():
            held[path] = os.readlink(path)
        elif not path.is_dir():
            held[path] = path.read_bytes() if path.is_file() else path.stat().st_mode
    return held


def changes(place: Path, before: dict[Path, Any]) -> str:
    """Return which of the files that were there are no more what they were, if some are not."""
    after = contents(place)
    return "; ".join(f"{path} has changed" for path, x in before.items() if after.get(path) != x)
