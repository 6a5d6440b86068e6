"""`metadescent …`: the command line. Imports JAX only once there is something to compute."""

# `list` in here is a command's module, once it is imported.
import dataclasses
import errno
import functools
import operator
import os
import re
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO, cast

import tyro
from tyro.conf import arg, subcommand

from metadescent._errors import NoReaderError, UserError
from metadescent._files import check_outputs, descriptor_of
from metadescent._lines import filled, say
from metadescent._names import is_outside
from metadescent.cli import streams
from metadescent.cli.command import Command, attributed, commands, flags
from metadescent.cli.words import places_in
from metadescent.runs.cluster.lifeline import hang_on
from metadescent.runs.signals import Stopped, Terminated, on_time, terminate

DEBUG = "--debug"
LEAST_COLUMNS = 60
"""Those that `--help` takes at least."""
PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
PLACES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC}
"""What is wrong with a place that was named, and not with this program."""


def program() -> None:
    """Be `metadescent …` as a process of its own, which ends soon after a signal."""
    streams.open_what_is_closed()
    # A sentence to whoever typed the words, and not a line of this program.
    warnings.showwarning = lambda message, *_: say(f"Warning: {message}.")
    with on_time():
        main()


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
            _obey(places_in(words), debug)
    except UserError as error:
        _fail(attributed(str(error), next(iter(words), "")), error.status, debug)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except Terminated:
        _fail("terminated", Terminated.status)
    except Stopped as stopped:
        _fail(str(stopped), stopped.status)
    except NoReaderError:
        # Nobody reads what could be said.
        sys.exit(NoReaderError.status)
    except Exception as error:
        _fail(*_explained(error, words), debug)


def _obey(words: Sequence[str], debug: bool) -> None:
    if [*words] in (["--version"], ["-V"]):
        from importlib.metadata import version

        print(f"metadescent {version('metadescent')}")
        return
    hang_on()
    signal.signal(signal.SIGTERM, terminate)
    command = _parse(words)
    status = command.launch([*words, DEBUG] if debug else words)
    if status is not None:
        sys.exit(status)
    outputs = command.outputs()
    check_outputs(outputs, command.inputs() if outputs else ())
    # Only now is JAX imported: `--help` stays quick.
    _keep_compiled()
    # Where results go to the standard output, messages go to the standard error.
    with redirect_stdout(sys.stdout if 1 not in map(descriptor_of, outputs) else sys.stderr):
        command.run()


def _explained(error: Exception, words: Sequence[str]) -> tuple[str, int]:
    """Return the sentence and the exit status for an exception that is no UserError."""
    text = " ".join(str(error).split())
    theirs = [f for f in traceback.extract_tb(error.__traceback__) if is_outside(f.filename)]
    if isinstance(error, OSError) and error.filename and error.errno in PLACES:
        return f"cannot reach {error.filename}: {error.strerror}; check the path", 2
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return (
            f"this takes more memory than there is ({text[:200] or 'MemoryError'}); try "
            f"{_smaller(words)}"
        ), 2
    if missing := _no_device():
        return missing, 2
    if theirs:
        place = f"{theirs[-1].filename}, line {theirs[-1].lineno}, in {theirs[-1].name}"
        return f"{place}: {type(error).__name__}: {text[:300]}; mend it, {DEBUG} shows more", 2
    return (
        f"a mistake in metadescent, {type(error).__name__}: {text[:300]}; please report what "
        f"{DEBUG} after the same words shows"
    ), 1


def _smaller(words: Sequence[str]) -> str:
    """Say which flags, of those that the command has, make it take less memory."""
    known = flags(commands()[words[0]])
    if "--memory-budget" in known:
        return "fewer --problems, a shorter --unroll, or --memory-budget"
    sizes = [flag for flag in ("--size", "--seeds", "--steps") if flag in known]
    return f"a smaller {' or '.join(sizes)}" if sizes else "a machine with more"


def _no_device() -> str | None:
    """Say that JAX finds no device, if that is so: then nothing else needs an explanation."""
    import jax

    try:
        jax.devices()
    except Exception:
        name = next((name for name in PLATFORMS if name in os.environ), PLATFORMS[0])
        asked = f" where {name} is {os.environ[name]!r}" if name in os.environ else ""
        return f"JAX has no device here{asked}; try {name}=cpu"
    return None


def _fail(sentence: str, status: int, debug: bool = False) -> NoReturn:
    """Exit with a sentence, and with the traceback of what is being handled before it."""
    if debug:
        traceback.print_exc()
    say(f"metadescent: {sentence}")
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
    columns = os.environ.get("COLUMNS")
    # In fewer, flags are broken to pieces, and in fewer than 8 tyro looks for a break for ever.
    if shutil.get_terminal_size().columns < LEAST_COLUMNS:
        os.environ["COLUMNS"] = str(LEAST_COLUMNS)
    try:
        command = _command(words)
        defaults = command.defaults(words)
        return command if defaults is None else _command(words, defaults)
    finally:
        os.environ.pop("COLUMNS", None)
        if columns is not None:
            os.environ["COLUMNS"] = columns


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
    with redirect_stdout(cast(TextIO, _Help(sys.stdout))):
        line: Any = tyro.cli(
            dataclasses.make_dataclass("Line", [("command", union)]),
            args=words,
            prog="metadescent",
            description="Learn optimization algorithms by gradient descent. "
            f"{DEBUG} after any words shows the traceback of a mistake in this program; --version "
            "says which one it is.",
        )
    return line.command


class _Help:
    """The standard output, for help: what tyro writes as one long line ends between words."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a line, or the end of one."""
        bare = re.sub(r"\x1b\[[\d;]*m", "", text)
        if len(bare) > (columns := shutil.get_terminal_size().columns):
            # Names in braces are many.
            text = filled(re.sub(r",(?=\w)", ", ", bare), columns)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
