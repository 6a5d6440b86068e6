"""Digits: 1,797 handwritten digits of 8 × 8 grey pixels, smaller than MNIST and never downloaded.

E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
Repository, 1998 (its test set). scikit-learn has a copy.
"""

import numpy as np
from numpy.typing import NDArray

from metadescent.problems.data.bundled import read_bundled

_SHAPE = (1797, 65)


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images, uint8 0 to 16 of shape (1797, 64), and labels, int32 0 to 9 of shape (1797,).

    Pixels run row by row, 0 for the paper and 16 for the ink. The file is read from an installed
    scikit-learn.

    Raises:
        UserError: if scikit-learn is not installed, or its copy is not what it should be.

    Example:
        >>> images, labels = load_digits()
        >>> images.shape, labels[:5]
        ((1797, 64), array([0, 1, 2, 3, 4], dtype=int32))
    """
    table = read_bundled("The digits come", "digits.csv.gz", _SHAPE, dtype=np.uint8, delimiter=",")
    return table[:, :-1].copy(), table[:, -1].astype(np.int32)
