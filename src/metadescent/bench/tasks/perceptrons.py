"""Perceptrons on MNIST and CIFAR-10: widths, activations, objectives, batches and wrong labels."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from metadescent.bench.task import Split, Task

if TYPE_CHECKING:
    from metadescent.bench.models.layers import Norm
    from metadescent.bench.models.supervised import Objective


def make_perceptron(
    data_dir: Path | None = None,
    *,
    data: str = "mnist",
    side: int = 28,
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    norm: "Norm" = "none",
    dropout: float = 0.0,
    objective: "Objective" = "softmax",
    wrong_labels: float = 0.0,
    batch_size: int = 128,
    scale: float = 1.0,
) -> Split:
    """Return the task of training a perceptron to classify pictures."""
    from metadescent.bench.data.images import pooled_cifar10, pooled_mnist, with_wrong_labels
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.perceptron import MLP
    from metadescent.bench.models.supervised import FromPixels, Scaled, Supervised

    sets = pooled_mnist(side, data_dir) if data == "mnist" else pooled_cifar10(side, data_dir)
    images, labels = sets.train
    # Only training labels are wrong; held-out labels are right.
    train = images, with_wrong_labels(labels, wrong_labels, classes=10)
    pixels = images[0].size
    network = MLP((pixels, *hidden, 10), activation, norm, dropout)
    # MNIST's pixels go from 0 to 1, as is usual, and CIFAR-10's are centred at 0.
    mean, std = (0.0, 1.0) if data == "mnist" else (0.47, 0.25)
    model = Supervised(FromPixels(network, mean, std), objective)
    return split_of(model if scale == 1 else Scaled(model, scale), train, sets.held_out, batch_size)


def _task(summary: str, **options: object) -> Task:
    return Task("vision", summary, partial(make_perceptron, **options))


NAMED = {
    "mnist-softmax": _task("softmax regression on MNIST"),
    "mnist-sigmoid": _task("MLP 784-20-10 on MNIST, sigmoid", hidden=(20,), activation="sigmoid"),
    "mnist-relu": _task("MLP 784-128-128-10 on MNIST, ReLU", hidden=(128, 128), batch_size=64),
    "mnist-tanh": _task(
        "MLP 784-64-64-64-10 on MNIST, tanh", hidden=(64, 64, 64), activation="tanh"
    ),
    "mnist-layer-norm": _task(
        "MLP 784-64-64-10 on MNIST, ReLU, layer normalization",
        hidden=(64, 64),
        norm="layer",
        batch_size=64,
    ),
    "mnist-batch-norm": _task(
        "MLP 784-64-64-10 on MNIST, ReLU, batch normalization", hidden=(64, 64), norm="batch"
    ),
    "mnist-dropout": _task(
        "MLP 784-128-64-10 on MNIST, ReLU, dropout 0.3",
        hidden=(128, 64),
        dropout=0.3,
        batch_size=64,
    ),
    "mnist-one-hot": _task(
        "MLP 784-64-10 on MNIST, ReLU, squared error of one-hot labels",
        hidden=(64,),
        objective="one-hot",
    ),
    "mnist-wrong-labels": _task(
        "MLP 784-64-64-10 on MNIST, ReLU, 20 % of labels random",
        hidden=(64, 64),
        wrong_labels=0.2,
    ),
    "mnist-batch-16": _task("MLP 784-64-10 on MNIST, ReLU", hidden=(64,), batch_size=16),
    "mnist-batch-512": _task(
        "MLP 196-64-10 on MNIST at 14 × 14, ELU",
        side=14,
        hidden=(64,),
        activation="elu",
        batch_size=512,
    ),
    "mnist-small-loss": _task(
        "MLP 196-32-32-10 on MNIST at 14 × 14, tanh, loss × 0.001",
        side=14,
        hidden=(32, 32),
        activation="tanh",
        scale=1e-3,
        batch_size=64,
    ),
    "cifar-relu": _task(
        "MLP 192-128-128-10 on CIFAR-10 at 8 × 8, ReLU",
        data="cifar10",
        side=8,
        hidden=(128, 128),
    ),
    "cifar-softmax": _task(
        "softmax regression on CIFAR-10 at 16 × 16", data="cifar10", side=16, batch_size=512
    ),
    "cifar-large-loss": _task(
        "MLP 192-64-10 on CIFAR-10 at 8 × 8, GELU, loss × 1000",
        data="cifar10",
        side=8,
        hidden=(64,),
        activation="gelu",
        scale=1e3,
    ),
}
