"""Names for loggers, which are discovered, or are in a file or module of the user's."""

import re

from metadescent._errors import UserError
from metadescent._names import build, discovered, look_up, maker_outside
from metadescent._spec import Call, parse
from metadescent.runs.loggers.base import Logger


def loggers() -> dict[str, type[Logger]]:
    """Return every kind of logger of the package by name."""
    return discovered("metadescent.runs.loggers")


def make_logger(spec: str) -> Logger:
    """Return the logger that `spec` names: csv, tensorboard, wandb, mlflow or `file.py:Name`.

    A name outside the package is that of a subclass of `Logger`, of an instance, or of a function
    that returns an instance.

    Raises:
        UserError: if the name or an option is unknown, or what the logger needs is not installed.

    Example:
        >>> type(make_logger("csv")).__name__
        'CSV'
    """
    tree = parse(spec)
    call = tree if isinstance(tree, Call) else Call(str(tree), {})
    if ":" in call.name:
        logger = build(maker_outside(call.name, Logger), call)
    else:
        logger = build(look_up(call.name, loggers(), "logger"), call)
    if not isinstance(logger, Logger):
        raise UserError(
            f"{call.name} returns {type(logger).__name__} and must return a Logger; try a class "
            "that extends metadescent.runs.Logger"
        )
    return logger


def make_loggers(text: str) -> list[Logger]:
    """Return the loggers that a list names."""
    return [make_logger(spec) for spec in names_in(text)]


def names_in(text: str) -> list[str]:
    """Return the specifications between the commas of a list, each once."""
    specs, depth = [""], 0
    for piece in re.split(r"([,()])", text):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        # Commas within brackets separate options.
        if piece == "," and depth == 0:
            specs.append("")
        else:
            specs[-1] += piece
    return list(dict.fromkeys(filter(None, map(str.strip, specs))))
