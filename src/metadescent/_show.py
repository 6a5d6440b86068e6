"""How a value shows itself in a notebook, as a table and a picture.

Both are made in a room above those of the values, so that room is imported by name, and late.
"""

import importlib
from typing import Any


def html(value: Any) -> str:
    """Return a value as HTML, in which every text is escaped."""
    return importlib.import_module("metadescent.runs.views").html(value)


def plot(value: Any) -> Any:
    """Return a value as a Matplotlib figure."""
    return importlib.import_module("metadescent.runs.views").figure_of(value)
