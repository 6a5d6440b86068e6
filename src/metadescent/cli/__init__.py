"""`metadescent …`: the command line. JAX is only imported once there is something to compute."""

# Once the command `list` is imported, this name is its module and not Python's list.
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
"""The fewest columns for which `--help` is laid out."""
PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
PLACES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC}
"""System errors that are about a place that was named, and not about this program."""


def program() -> None:
    """Run `metadescent …` as a process of its own, which ends soon after a signal."""
    streams.open_what_is_closed()
    # A warning is a sentence for the user, and not a line of this program.
    warnings.showwarning = lambda message, *_: say(f"Warning: {message}.")
    with on_time():
        main()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the words name; exit with status 2 if a UserError says why.

    Any other exception is a mistake of this program; it is reported in one sentence, with status 1.
    If `--debug` is among the words, the exception's traceback precedes the sentence.
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
        # The output has no reader any more.
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
    # JAX is only imported now, so that `--help` is quick.
    _keep_compiled()
    # If results go to the standard output, messages go to the standard error.
    with redirect_stdout(sys.stdout if 1 not in map(descriptor_of, outputs) else sys.stderr):
        command.run()


def _explained(error: Exception, words: Sequence[str]) -> tuple[str, int]:
    """Return the sentence and the exit status for an exception that is not a UserError."""
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
    """Say which flags of the command make it take less memory."""
    known = flags(commands()[words[0]])
    if "--memory-budget" in known:
        return "fewer --problems, a shorter --unroll, or --memory-budget"
    sizes = [flag for flag in ("--size", "--seeds", "--steps") if flag in known]
    return f"a smaller {' or '.join(sizes)}" if sizes else "a machine with more"


def _no_device() -> str | None:
    """Say that JAX finds no device, if so, because nothing else then needs an explanation."""
    import jax

    try:
        jax.devices()
    except Exception:
        name = next((name for name in PLATFORMS if name in os.environ), PLATFORMS[0])
        asked = f" where {name} is {os.environ[name]!r}" if name in os.environ else ""
        return f"JAX has no device here{asked}; try {name}=cpu"
    return None


def _fail(sentence: str, status: int, debug: bool = False) -> NoReturn:
    """Exit with a sentence; if `debug`, the traceback of the present exception precedes it."""
    if debug:
        traceback.print_exc()
    say(f"metadescent: {sentence}")
    sys.exit(status)


def _keep_compiled() -> None:
    """Let JAX keep compiled programs in the platform's cache, unless the user names a folder."""
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
    # With fewer columns tyro breaks flags, and with fewer than 8 it does not end.
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
    """Return the command that the words name, with these defaults if they are of its class."""
    kinds: Sequence[Any] = [
        Annotated[
            kind, subcommand(name, default=defaults) if type(defaults) is kind else subcommand(name)
        ]
        for name, kind in commands().items()
    ]
    # The union is the field of a class. Around a bare union tyro puts a generic class, and looks
    # for that class's words in the source of `typing`, which takes 0.1 s.
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
    """The standard output for help: tyro's long lines are broken between words."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a line, or the end of a line."""
        bare = re.sub(r"\x1b\[[\d;]*m", "", text)
        if len(bare) > (columns := shutil.get_terminal_size().columns):
            # Lists of names in braces need spaces at which they can be broken.
            text = filled(re.sub(r",(?=\w)", ", ", bare), columns)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
