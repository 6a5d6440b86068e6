"""`metadescent …`: the command line. Imports JAX only once there is something to compute."""

# `list` in here is a command's module, once it is imported.
import dataclasses
import errno
import functools
import operator
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro
from tyro.conf import arg, subcommand

from metadescent._errors import UserError
from metadescent._names import is_outside
from metadescent.cli import streams
from metadescent.cli.command import Command, commands
from metadescent.runs.cluster.lifeline import hang_on
from metadescent.runs.signals import Stopped, Terminated, terminate

DEBUG = "--debug"
PLACES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC}
"""What is wrong with a place that was named, and not with this program."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the words name; exits with status 2 where a UserError says why.

    Any other exception is a mistake of this program: it is one sentence and status 1. With
    `--debug` among the words, the traceback of either stands before the sentence.
    """
    words = sys.argv[1:] if argv is None else argv
    debug = DEBUG in words
    words = [word for word in words if word != DEBUG]
    try:
        with streams.written():
            _obey(words, debug)
    except UserError as error:
        _fail(str(error), error.status, debug)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except Terminated:
        _fail("terminated", Terminated.status)
    except Stopped as stopped:
        _fail(str(stopped), stopped.status)
    except streams.NoReaderError:
        # Nobody reads what could be said.
        sys.exit(streams.NoReaderError.status)
    except Exception as error:
        _fail(*_explained(error), debug)


def _obey(words: Sequence[str], debug: bool) -> None:
    if [*words] in (["--version"], ["-V"]):
        print(f"metadescent {version('metadescent')}")
        return
    hang_on()
    signal.signal(signal.SIGTERM, terminate)
    command = _parse(words)
    status = command.launch([*words, DEBUG] if debug else words)
    if status is not None:
        sys.exit(status)
    # Only now is JAX imported: `--help` stays quick.
    _keep_compiled()
    command.run()


def _explained(error: Exception) -> tuple[str, int]:
    """Return the sentence and the exit status for an exception that is no UserError."""
    text = " ".join(str(error).split())
    theirs = [f for f in traceback.extract_tb(error.__traceback__) if is_outside(f.filename)]
    if isinstance(error, OSError) and error.filename and error.errno in PLACES:
        return f"cannot reach {error.filename}: {error.strerror}; check the path", 2
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return (
            f"this takes more memory than there is ({text[:200] or 'MemoryError'}); try fewer "
            "problems or steps, or --memory-budget"
        ), 2
    if theirs:
        place = f"{theirs[-1].filename}, line {theirs[-1].lineno}, in {theirs[-1].name}"
        return f"{place}: {type(error).__name__}: {text[:300]}; mend it, {DEBUG} shows more", 2
    return (
        f"a mistake in metadescent, {type(error).__name__}: {text[:300]}; please report what "
        f"{DEBUG} after the same words shows"
    ), 1


def _fail(sentence: str, status: int, debug: bool = False) -> NoReturn:
    """Exit with a sentence, and with the traceback of what is being handled before it."""
    if debug:
        traceback.print_exc()
    print(f"metadescent: {sentence}", file=sys.stderr)
    sys.exit(status)


def _keep_compiled() -> None:
    """Let the command line's JAX keep programs in the platform's cache, unless it is told where."""
    import pooch

    from metadescent.runs.cluster.executors import keep_compiled

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = Path(pooch.os_cache("metadescent")) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        keep_compiled(str(folder))


def _parse(words: Sequence[str]) -> Command:
    command = _command(words)
    defaults = command.defaults()
    return command if defaults is None else _command(words, defaults)


def _command(words: Sequence[str], defaults: Command | None = None) -> Command:
    """Return the command that the words name, over these defaults if they are of its kind."""
    kinds: Sequence[Any] = [
        Annotated[
            kind, subcommand(name, default=defaults) if type(defaults) is kind else subcommand(name)
        ]
        for name, kind in commands().items()
    ]
    # A class with the union as its field: around a bare union tyro puts a generic one, and looks
    # for that field's words in the source of `typing`, which takes 0.1 s.
    union = Annotated[
        functools.reduce(operator.or_, kinds), arg(name="", help="Each has a --help of its own.")
    ]
    line: Any = tyro.cli(
        dataclasses.make_dataclass("Line", [("command", union)]),
        args=words,
        prog="metadescent",
        description="Learn optimization algorithms by gradient descent. "
        f"{DEBUG} after any words shows the traceback of a mistake in this program; --version says "
        "which one it is.",
    )
    return line.command
