"""Watch what reading a file does: an audit hook takes note, and memory and time are limited."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEMORY = 2 << 30
SECONDS = 30
CANARY = "canary"
"""A module that a hostile file names; it lies where it could be imported, and never must be."""
_NEVER = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
    "pickle.find_class", "socket.connect", "socket.getaddrinfo", "subprocess.Popen",
)  # fmt: skip
_WRITES = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "shutil.move", "shutil.rmtree", "os.chmod",
)  # fmt: skip


class HungError(Exception):
    """It took too long."""


class Guard:
    """Takes note of what happens while it watches; there is one a process, as hooks stay."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.watches = str(folder.resolve()), False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)
        signal.signal(signal.SIGALRM, hang)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is done until the context ends; raise `HungError` where that takes too long."""
        self.seen, self.watches = [], True
        signal.alarm(SECONDS)
        try:
            yield
        finally:
            signal.alarm(0)
            self.watches = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watches:
            return
        if event in _NEVER or (event == "import" and str(arguments[0]).startswith(CANARY)):
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "exec" and not _is_import(arguments[0].co_filename):
            self.seen.append(f"exec {arguments[0]!r}"[:200])
        elif (event == "open" and _for_writing(*arguments[1:3])) or event in _WRITES:
            self._write(event, arguments[0])

    def _write(self, event: str, path: Any) -> None:
        if isinstance(path, int):
            return
        place = os.path.realpath(os.fsdecode(path))
        if not place.startswith(self.folder + os.sep) and place != os.devnull:
            self.seen.append(f"{event} {place}")


@contextmanager
def little_memory() -> Iterator[None]:
    """Let the process have no more than `MEMORY` bytes beyond what it has."""
    held = (
        int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        * resource.getpagesize()
    )
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def peak() -> int:
    """Return the most bytes that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _is_import(filename: str) -> bool:
    """Tell whether code is a module's, or run as one is imported: that is watched on its own."""
    if filename.startswith("<frozen ") or filename.endswith(".py"):
        return True
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
    return False


def _for_writing(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def hang(signum: int, frame: Any) -> None:
    """Raise `HungError`, when an alarm goes off."""
    raise HungError(f"more than {SECONDS} s")
