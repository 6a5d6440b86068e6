"""`metadescent …`: the command line. Imports JAX only once there is something to compute."""

import signal
import sys
from dataclasses import replace
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from metadescent import arguments as a
from metadescent.errors import UserError
from metadescent.recipe import Recipe


def main(argv: list[str] | None = None) -> None:
    """Run the command that the words name; exits with status 2 where a UserError says why."""
    words = sys.argv[1:] if argv is None else argv
    try:
        command = _parse(words)
        # Only now is JAX imported: `--help` stays quick.
        from metadescent import commands

        signal.signal(signal.SIGTERM, _stop)
        commands.run(command)
    except UserError as error:
        print(f"metadescent: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("metadescent: stopped", file=sys.stderr)
        sys.exit(130)
    except Terminated:
        print("metadescent: terminated", file=sys.stderr)
        sys.exit(143)


class Terminated(BaseException):
    """SIGTERM arrived."""


def _stop(signum: int, frame: Any) -> None:
    raise Terminated


def _parse(words: list[str]) -> Any:
    train = a.Train(problem=tyro.MISSING, recipe=_recipe(words))
    command = (
        Annotated[a.List, subcommand("list")]
        | Annotated[a.Demo, subcommand("demo")]
        | Annotated[a.Train, subcommand("train", default=train)]
        | Annotated[a.Evaluate, subcommand("evaluate")]
        | Annotated[a.Tune, subcommand("tune")]
        | Annotated[a.Inspect, subcommand("inspect")]
        | Annotated[a.Reproduce, subcommand("reproduce")]
    )
    return tyro.cli(
        command,
        args=words,
        prog="metadescent",
        description="Learn optimization algorithms by gradient descent.",
    )


def _recipe(words: list[str]) -> Recipe:
    """Return the defaults of `train`: those of the problem that the words name."""
    if words[:1] != ["train"] or {"-h", "--help"} & set(words) or len(words) < 2:
        return Recipe()
    from metadescent.registry import recipe_of

    return replace(Recipe(), **recipe_of(words[1]))
