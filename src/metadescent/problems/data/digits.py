"""Digits: 1,797 handwritten digits of 8 × 8 grey pixels, for when MNIST is too slow or too far.

E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
Repository, 1998 (its test set); scikit-learn carries a copy, so nothing is downloaded.
"""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError

_SHAPE = (1797, 65)


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images, uint8 0 to 16 of shape (1797, 64), and labels, int32 0 to 9 of shape (1797,).

    Pixels run row by row, 0 for the paper and 16 for the ink. The file is read out of an installed
    scikit-learn.

    Raises:
        UserError: if scikit-learn is not installed, or its copy is not what it should be.

    Example:
        >>> images, labels = load_digits()
        >>> images.shape, labels[:5]
        ((1797, 64), array([0, 1, 2, 3, 4], dtype=int32))
    """
    path = _path()
    try:
        table = np.loadtxt(path, dtype=np.uint8, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): reinstall scikit-learn.") from error
    if table.shape != _SHAPE:
        raise UserError(
            f"{path} holds a table of shape {table.shape} where {_SHAPE} is expected: "
            "reinstall scikit-learn."
        )
    return table[:, :-1].copy(), table[:, -1].astype(np.int32)


def _path() -> Path:
    # Importing sklearn.datasets takes seconds; finding its folder takes none.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "The digits come with scikit-learn, which is not installed: "
            "run pip install 'metadescent[data]'."
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
