"""Three small tables that come with scikit-learn, each with a fifth of its rows held out.

The sources are those that the UCI Machine Learning Repository names: W. Wolberg, O. Mangasarian,
N. Street and W. Street, "Breast cancer Wisconsin (diagnostic)", 1993; S. Aeberhard and M. Forina,
"Wine", 1992. The diabetes study is of B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least
angle regression", 2004.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metadescent.problems.data.bundled import read_bundled

_COME = "The tables of the bench come"


class TableSets(NamedTuple):
    """Rows of numbers with what is to be predicted: those to train on, and those held out."""

    train: tuple[NDArray[np.float32], NDArray]
    held_out: tuple[NDArray[np.float32], NDArray]


def breast_cancer() -> TableSets:
    """Return 569 rows of 30 numbers and, as a float, whether the tumour is benign."""
    table = read_bundled(_COME, "breast_cancer.csv", (569, 31), delimiter=",", skiprows=1)
    return _sets(table[:, :-1], table[:, -1:].astype(np.float32))


def wine() -> TableSets:
    """Return 178 rows of 13 numbers, and which of three growers made the wine."""
    table = read_bundled(_COME, "wine_data.csv", (178, 14), delimiter=",", skiprows=1)
    return _sets(table[:, :-1], table[:, -1].astype(np.int32))


def diabetes() -> TableSets:
    """Return 442 rows of 10 numbers and the disease's progress, its mean 0 and variance 1."""
    table = read_bundled(_COME, "diabetes_data_raw.csv.gz", (442, 10))
    progress = read_bundled(_COME, "diabetes_target.csv.gz", (442, 1))
    return _sets(table, ((progress - progress.mean()) / progress.std()).astype(np.float32))


def _sets(rows: NDArray[np.float64], targets: NDArray) -> TableSets:
    """Return rows in two parts, the same each time; each column has mean 0 and variance 1."""
    order = np.argsort(np.random.default_rng(0).random(len(rows)))
    held_out, train = np.split(order, [len(rows) // 5])
    # Computed from the training rows alone, because nothing is known of the others.
    mean, std = rows[train].mean(0), rows[train].std(0)
    x = ((rows - mean) / std).astype(np.float32)
    return TableSets((x[train], targets[train]), (x[held_out], targets[held_out]))
