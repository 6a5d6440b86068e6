"""Names for loggers, found by discovery, or of a file or module of one's own."""

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

    Outside the package it is a subclass of `Logger`, an instance, or what returns one when it is
    called.

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
    """Return the specifications that a list has between its commas, each once."""
    specs, depth = [""], 0
    for piece in re.split(r"([,()])", text):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        # Those in brackets are commas between options.
        if piece == "," and depth == 0:
            specs.append("")
        else:
            specs[-1] += piece
    return list(dict.fromkeys(filter(None, map(str.strip, specs))))
