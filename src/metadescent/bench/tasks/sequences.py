"""MNIST as a sequence: of rows, for recurrent networks, or of patches."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metadescent.bench.task import Split, Task

if TYPE_CHECKING:
    from metadescent.bench.models.recurrent import CellKind
    from metadescent.bench.models.supervised import Network

MOST = 512
"""How many examples a loss is measured on."""


def make_row_reader(
    data_dir: Path | None = None, *, kind: "CellKind", units: int, batch_size: int
) -> Split:
    """Return the task of training a cell that reads pictures of 14 rows."""
    from metadescent.bench.models.recurrent import RowReader

    return _on_mnist(RowReader(kind, 14, units), 14, data_dir, batch_size)


def make_patch_reader(
    data_dir: Path | None = None, *, kind: Literal["transformer", "mixer"], batch_size: int
) -> Split:
    """Return the task of training blocks on the 16 patches of 7 × 7 pixels of a picture."""
    from metadescent.bench.models.attention import PatchReader

    return _on_mnist(PatchReader(kind, 28, 7, 32, 2), 28, data_dir, batch_size)


def _on_mnist(network: "Network", side: int, data_dir: Path | None, batch_size: int) -> Split:
    from metadescent.bench.data.images import pooled_mnist
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.supervised import FromPixels, Supervised

    model = Supervised(FromPixels(network, 0.13, 0.31), "softmax")
    return split_of(model, *pooled_mnist(side, data_dir), batch_size, MOST)


NAMED = {
    "mnist-rnn": Task(
        "sequence",
        "RNN of 64 units over the rows of MNIST at 14 × 14",
        partial(make_row_reader, kind="rnn", units=64, batch_size=64),
    ),
    "mnist-gru": Task(
        "sequence",
        "GRU of 32 units over the rows of MNIST at 14 × 14",
        partial(make_row_reader, kind="gru", units=32, batch_size=64),
    ),
    "mnist-transformer": Task(
        "sequence",
        "vision transformer of 2 blocks on 7 × 7 patches of MNIST",
        partial(make_patch_reader, kind="transformer", batch_size=16),
    ),
    "mnist-mixer": Task(
        "sequence",
        "MLP-mixer of 2 blocks on 7 × 7 patches of MNIST",
        partial(make_patch_reader, kind="mixer", batch_size=16),
    ),
}
