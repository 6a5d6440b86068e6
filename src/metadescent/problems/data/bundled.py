"""Tables that come with scikit-learn, read from its folder, so that nothing is downloaded."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError


def read_bundled(what: str, name: str, shape: tuple[int, int], **how: Any) -> NDArray[Any]:
    """Return the table in a file that scikit-learn has; `how` goes to `numpy.loadtxt`.

    A UserError is raised if scikit-learn is not installed or its copy is damaged. `what` begins the
    error's sentence, such as "The digits come".
    """
    path = _path(what, name)
    try:
        table = np.loadtxt(path, ndmin=2, **how)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): reinstall scikit-learn.") from error
    if table.shape != shape:
        raise UserError(
            f"{path} holds a table of shape {table.shape} where {shape} is expected: "
            "reinstall scikit-learn."
        )
    return table


def _path(what: str, name: str) -> Path:
    # Importing sklearn.datasets takes seconds; finding its folder takes none.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{what} with scikit-learn, which is not installed: "
            "run pip install 'metadescent[data]'."
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
