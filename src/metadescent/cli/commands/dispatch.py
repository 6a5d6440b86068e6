"""A command is a dataclass of `arguments`, and the function registered for it here."""

from functools import singledispatch
from typing import Any


@singledispatch
def run(command: Any) -> None:
    """Carry out a parsed command."""
    raise NotImplementedError(type(command))
