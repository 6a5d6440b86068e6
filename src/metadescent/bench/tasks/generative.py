"""Autoencoders and contrastive learning, on MNIST at 14 × 14."""

from functools import partial
from pathlib import Path

from metadescent.bench.task import Split, Task

PIXELS = 14 * 14


def make_autoencoder(
    data_dir: Path | None = None,
    *,
    hidden: tuple[int, ...],
    activation: str,
    noise: float = 0.0,
    batch_size: int = 128,
) -> Split:
    """Return the task of training an autoencoder; with noise, it has to remove the noise."""
    from metadescent.bench.models.autoencoders import Autoencoder
    from metadescent.bench.models.perceptron import MLP

    model = Autoencoder(MLP((PIXELS, *hidden, PIXELS), activation), noise)
    return _on_pictures(model, data_dir, batch_size)


def make_variational(data_dir: Path | None = None) -> Split:
    """Return the task of training a variational autoencoder with 8 latent variables."""
    from metadescent.bench.models.autoencoders import VariationalAutoencoder
    from metadescent.bench.models.perceptron import MLP

    latent = 8
    encoder, decoder = MLP((PIXELS, 64, 2 * latent)), MLP((latent, 64, PIXELS))
    return _on_pictures(VariationalAutoencoder(encoder, decoder), data_dir, 64)


def make_contrastive(data_dir: Path | None = None) -> Split:
    """Return the task of matching two noisy views of a picture among views of others."""
    from metadescent.bench.models.contrastive import Contrastive
    from metadescent.bench.models.perceptron import MLP

    size = 64
    return _on_pictures(Contrastive(MLP((PIXELS, 64, 16)), size), data_dir, size)


def _on_pictures(model: object, data_dir: Path | None, batch_size: int) -> Split:
    from metadescent.bench.data.images import pooled_mnist
    from metadescent.bench.fitting import Model, split_of

    assert isinstance(model, Model)
    (train, _), (held_out, _) = pooled_mnist(14, data_dir)
    return split_of(model, train, held_out, batch_size)


NAMED = {
    "mnist-autoencoder": Task(
        "generative",
        "autoencoder 196-32-196 of MNIST at 14 × 14, ReLU",
        partial(make_autoencoder, hidden=(32,), activation="relu"),
    ),
    "mnist-deep-autoencoder": Task(
        "generative",
        "autoencoder 196-64-32-8-32-64-196 of MNIST at 14 × 14, tanh",
        partial(make_autoencoder, hidden=(64, 32, 8, 32, 64), activation="tanh"),
    ),
    "mnist-denoising": Task(
        "generative",
        "denoising autoencoder 196-64-196 of MNIST at 14 × 14, sigmoid",
        partial(make_autoencoder, hidden=(64,), activation="sigmoid", noise=0.5, batch_size=64),
    ),
    "mnist-variational": Task(
        "generative", "variational autoencoder of MNIST at 14 × 14", make_variational
    ),
    "mnist-contrastive": Task(
        "generative", "InfoNCE on two noisy views of MNIST at 14 × 14", make_contrastive
    ),
}
