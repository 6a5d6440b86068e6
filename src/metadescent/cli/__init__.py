"""`metadescent …`: the command line. Imports JAX only once there is something to compute."""

import errno
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro
from tyro.conf import subcommand

from metadescent._errors import UserError
from metadescent.cli import arguments as a
from metadescent.cli import streams
from metadescent.runs.cluster import launch
from metadescent.runs.cluster.seats import seat_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import Stopped, Terminated, terminate

DEBUG = "--debug"
PLACES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC}
"""What is wrong with a place that was named, and not with this program."""


def main(argv: list[str] | None = None) -> None:
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
        sys.exit(streams.NoReaderError.status)
    except Exception as error:
        said = " ".join(str(error).split())
        if isinstance(error, OSError) and error.filename and error.errno in PLACES:
            what = f"cannot reach {error.filename}: {error.strerror}; check the path"
            _fail(what, 2, debug)
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in said:
            _fail(
                f"this takes more memory than there is ({said[:200] or 'MemoryError'}); try fewer "
                "problems or steps, or --memory-budget",
                2,
                debug,
            )
        _fail(
            f"a mistake in metadescent, {type(error).__name__}: {said[:300]}; please report what "
            f"{DEBUG} after the same words shows",
            1,
            debug,
        )


def _obey(words: list[str], debug: bool) -> None:
    launch.hang_on()
    signal.signal(signal.SIGTERM, terminate)
    command = _parse(words)
    if _is_to_launch(command):
        words = [*words, DEBUG] if debug else words
        sys.exit(launch.launch(words, max(1, command.processes), command.restarts))
    # Only now is JAX imported: `--help` stays quick.
    from metadescent.cli import commands

    _keep_compiled()
    commands.run(command)


def _fail(sentence: str, status: int, debug: bool = False) -> NoReturn:
    """Exit with a sentence, and with the traceback of what is being handled before it."""
    if debug:
        traceback.print_exc()
    print(f"metadescent: {sentence}", file=sys.stderr)
    sys.exit(status)


def _is_to_launch(command: Any) -> bool:
    """Tell whether a command is to be run by processes of its own, which this one watches over."""
    if not isinstance(command, a.Train) or not launch.needs(command.processes, command.restarts):
        return False
    seat = seat_of(command.coordinator, command.processes, command.process_id, os.environ)
    if seat and command.restarts:
        raise UserError(
            f"--restarts is {command.restarts}, and whoever started this process has to start it "
            "again; try --restarts with --processes alone"
        )
    return seat is None


def _keep_compiled() -> None:
    """Let JAX keep what it compiles in the platform's cache folder, unless it is told where.

    The library itself leaves JAX as it finds it.
    """
    import jax
    import pooch

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = Path(pooch.os_cache("metadescent")) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _parse(words: list[str]) -> Any:
    command = _command(words, Annotated[a.Train, subcommand("train")])
    if not isinstance(command, a.Train):
        return command
    # Once more, now that the problem is known: the defaults of `train` are its recipe.
    from metadescent.registry import recipe_of

    default = replace(command, recipe=replace(Recipe(), **recipe_of(command.problem)))
    return _command(words, Annotated[a.Train, subcommand("train", default=default)])


def _command(words: list[str], train: Any) -> Any:
    commands = (
        Annotated[a.List, subcommand("list")]
        | Annotated[a.Demo, subcommand("demo")]
        | Annotated[a.NewProblem, subcommand("new-problem")]
        | train
        | Annotated[a.Evaluate, subcommand("evaluate")]
        | Annotated[a.Tune, subcommand("tune")]
        | Annotated[a.Inspect, subcommand("inspect")]
        | Annotated[a.Doctor, subcommand("doctor")]
        | Annotated[a.Report, subcommand("report")]
        | Annotated[a.Visualize, subcommand("visualize")]
        | Annotated[a.Reproduce, subcommand("reproduce")]
        | Annotated[a.Stylize, subcommand("stylize")]
        | Annotated[a.Convert, subcommand("convert")]
    )
    return tyro.cli(
        commands,
        args=words,
        prog="metadescent",
        description="Learn optimization algorithms by gradient descent. "
        f"{DEBUG} after any words shows the traceback of a mistake in this program.",
    )
