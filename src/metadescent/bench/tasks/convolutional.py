"""Convolutional networks on small pictures of MNIST and CIFAR-10."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from metadescent.bench.task import Split, Task

if TYPE_CHECKING:
    from metadescent.bench.models.layers import Norm

MOST = 512
"""How many examples a loss is measured on; here a step on them takes longer."""


def make_convolutional(
    data_dir: Path | None = None,
    *,
    data: str = "mnist",
    side: int,
    channels: tuple[int, ...],
    activation: str = "relu",
    norm: "Norm" = "none",
    patch: int = 1,
    is_grey: bool = False,
    batch_size: int = 32,
) -> Split:
    """Return the task of training a convolutional network to classify pictures."""
    from metadescent.bench.data.images import pooled_cifar10, pooled_mnist
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.convolutional import Convolutional
    from metadescent.bench.models.supervised import FromPixels, Supervised

    if data == "mnist":
        sets, mean, std = pooled_mnist(side, data_dir), 0.13, 0.31
    else:
        sets, mean, std = pooled_cifar10(side, data_dir, is_grey=is_grey), 0.47, 0.25
    image = (side, side, sets.train[0].shape[-1])
    network = Convolutional(image, channels, activation, norm, patch)
    model = Supervised(FromPixels(network, mean, std), "softmax")
    return split_of(model, *sets, batch_size, MOST)


def make_residual(data_dir: Path | None = None, *, norm: "Norm" = "batch") -> Split:
    """Return the task of training a residual network on CIFAR-10 at 8 × 8."""
    from metadescent.bench.data.images import pooled_cifar10
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.convolutional import Residual
    from metadescent.bench.models.supervised import FromPixels, Supervised

    network = FromPixels(Residual(3, 16, 2, norm), 0.47, 0.25)
    model = Supervised(network, "softmax")
    return split_of(model, *pooled_cifar10(8, data_dir), 64, MOST)


def _task(summary: str, **options: object) -> Task:
    return Task("vision", summary, partial(make_convolutional, **options))


_MNIST = {"side": 16, "patch": 2, "channels": (8, 16, 16)}
_CIFAR = {"data": "cifar10", "side": 8, "channels": (16, 32)}

NAMED = {
    "mnist-conv": _task("convolutional network on MNIST at 16 × 16, ReLU", **_MNIST),
    "mnist-conv-batch-norm": _task(
        "convolutional network on MNIST at 16 × 16, ReLU, batch normalization",
        norm="batch",
        **_MNIST,
    ),
    "mnist-conv-layer-norm": _task(
        "convolutional network on MNIST at 16 × 16, ReLU, layer normalization",
        norm="layer",
        **_MNIST,
    ),
    "cifar-conv": _task(
        "convolutional network on CIFAR-10 at 8 × 8, ReLU", batch_size=64, **_CIFAR
    ),
    "cifar-conv-grey": _task(
        "convolutional network on grey CIFAR-10 at 16 × 16, ELU, batch normalization",
        data="cifar10",
        side=16,
        is_grey=True,
        patch=2,
        channels=(16, 16, 16),
        activation="elu",
        norm="batch",
    ),
    "cifar-residual": Task(
        "vision",
        "residual network on CIFAR-10 at 8 × 8, batch normalization",
        make_residual,
    ),
}
