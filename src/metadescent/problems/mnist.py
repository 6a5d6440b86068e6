"""MNIST (section 3.2), and other architectures to apply the optimizer to (figures 5 and 6)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metadescent.problems.base import Named, Problem
from metadescent.problems.classifier import Activation, MLPClassification
from metadescent.problems.data.mnist import load_mnist
from metadescent.problems.dressed import dress


def make_mnist(
    hidden: Sequence[int] = (20,),
    activation: Activation = "sigmoid",
    theta_std: float = 0.01,  # as in the authors' code; the paper does not say
    batch_size: int = 128,
    rescale: float = 0.0,
    log: bool = False,
    data_dir: str | Path | None = None,
) -> Problem:
    """Return the problem of training an MLP on the 60,000 training images of MNIST."""
    images, labels = load_mnist(data_dir, "train")
    problem = MLPClassification(images, labels, hidden, activation, batch_size, theta_std)
    return dress(problem, rescale=rescale, log=log)


_RECIPE = {
    "optimizer": "lstm(p=10.0, scale=0.1)",
    "coordinates": 2048,
    "epochs": 80,
    "episodes": 40,
    "average": 0.98,
    "validation_problems": 32,
}


def _variant(hidden: Sequence[int], activation: Activation, summary: str) -> Named:
    # The architecture is given by position, so it is not an option of the variant.
    return Named(partial(make_mnist, hidden, activation), _RECIPE, summary)


NAMED = {
    "mnist": Named(make_mnist, _RECIPE, "MLP 784-20-10 on MNIST, sigmoid (section 3.2)"),
    "mnist-40": _variant((40,), "sigmoid", "MLP 784-40-10 on MNIST, sigmoid (figure 5)"),
    "mnist-2-layers": _variant((20, 20), "sigmoid", "MLP 784-20-20-10 on MNIST (figure 5)"),
    "mnist-relu": _variant((20,), "relu", "MLP 784-20-10 on MNIST, ReLU (figure 5)"),
    "mnist-tanh": _variant((20,), "tanh", "MLP 784-20-10 on MNIST, tanh"),
    "mnist-elu": _variant((20,), "elu", "MLP 784-20-10 on MNIST, ELU"),
    "mnist-3-layers": _variant((20, 20, 20), "sigmoid", "MLP 784-20-20-20-10 on MNIST (figure 6)"),
    "mnist-160": _variant((160,), "sigmoid", "MLP 784-160-10 on MNIST, sigmoid (figure 6)"),
}
