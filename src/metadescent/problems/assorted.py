"""Small networks of the kinds that scripts have, side by side: to learn a general optimizer on.

    F(θ¹, …, θᴷ) = Σ_k log(f_k(θᵏ) + 10⁻⁴), at most 4 each,    with ∇f_k as gradient

Classifiers of several depths, widths, activations and batches, a normalized, a recurrent, an
attentive and a convolutional one, embeddings, an autoencoder, regressions of a teacher, of a line
and of a wave. Their data are scikit-learn's 8×8 digits and what a seed draws. No task of
`metadescent bench` has these data.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from metadescent.problems.base import Named, Problem
from metadescent.problems.data.digits import load_digits
from metadescent.problems.from_function import FromFunction
from metadescent.problems.small_networks import (
    Layers,
    Net,
    attentive,
    begin,
    convolutional,
    dense,
    embedded,
    factored,
    normalized,
    recurrent,
    waves,
)
from metadescent.problems.together import Together

SEED = 0
"""Of the data that are drawn."""
LEAST, MOST = 1e-4, 4.0
"""What is added to f, and the most that its logarithm counts."""


def cross_entropy(y: Array, labels: Array) -> Array:
    """Return the mean cross-entropy of logits."""
    return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()


def squared(y: Array, targets: Array) -> Array:
    """Return the mean squared error."""
    return jnp.mean((y - targets) ** 2)


def in_ratios(f: Array) -> Array:
    """Return the logarithm of f, with the gradient of f: an optimizer is judged by ratios."""
    value = jnp.minimum(jnp.log(jnp.maximum(f, 0.0) + LEAST), MOST)
    return jnp.where(jnp.isfinite(f), f + jax.lax.stop_gradient(value - f), MOST)


def noisy(data: tuple[np.ndarray, np.ndarray], noise: float, copies: int = 8) -> Any:
    """Return copies of examples, each with noise of its own: too many to learn by heart."""
    x, y = (np.concatenate([side] * copies) for side in data)
    drawn = np.random.default_rng(SEED).normal(size=x.shape)
    return (x + noise * drawn).astype(np.float32), y


def trained(
    net: Net,
    sizes: tuple[tuple[int, ...], ...],
    loss: Any,
    data: Any,
    batch_size: int,
) -> Problem:
    """Return the problem of training a network."""

    def f(theta: Layers, key: PRNGKeyArray, batch: tuple[Array, Array]) -> Array:
        x, y = batch
        return in_ratios(loss(net(theta, x), y))

    return FromFunction(f, partial(begin, sizes=sizes), data, batch_size=batch_size)


def make_assorted() -> Problem:
    """Return all of them."""
    images, labels = load_digits()
    pixels = (images / 8.0 - 1.0).astype(np.float32)
    digits = pixels, labels
    random = np.random.default_rng(SEED)
    wrong = random.random(len(labels)) < 0.1
    doubtful = pixels, np.where(wrong, random.integers(10, size=len(labels)), labels)
    centres = 1.2 * random.normal(size=(6, 20))
    kinds = random.integers(6, size=4096)
    clouds = (centres[kinds] + random.normal(size=(4096, 20))).astype(np.float32), kinds
    x = random.normal(size=(4096, 12)).astype(np.float32)
    hidden = np.tanh(x @ random.normal(size=(12, 16)))
    taught = x, (hidden @ random.normal(size=(16, 1)) / 4 + 0.1 * random.normal(size=(4096, 1)))
    stretched = (random.normal(size=(4096, 30)) * np.logspace(0, -1.5, 30)).astype(np.float32)
    line = stretched, stretched @ random.normal(size=(30, 1)) + 0.1 * random.normal(size=(4096, 1))
    # As pictures are larger in life: many inputs, most of them dark.
    large = np.kron(images.reshape(-1, 8, 8), np.ones((3, 3))).reshape(len(labels), -1) / 16.0
    seen = random.random((4 * len(labels), 576)) < 0.7
    spotted = (np.concatenate([large] * 4) * seen).astype(np.float32), np.tile(labels, 4)
    faint = noisy(digits, 0.4)
    relu, tanh = partial(dense, jax.nn.relu), partial(dense, jnp.tanh)
    people = random.integers([200, 120], size=(8192, 2))
    tastes = random.normal(size=(200, 4)), random.normal(size=(120, 4))
    likings = (tastes[0][people[:, 0]] * tastes[1][people[:, 1]]).sum(1, keepdims=True) / 2
    rated = people, likings + 0.2 * random.normal(size=likings.shape)
    columns = random.integers(30, size=(8192, 4)) + 30 * np.arange(4)
    worth = random.normal(size=120)[columns]
    sorted_out = columns, (worth[:, 0] * worth[:, 1] + worth[:, 2] > worth[:, 3]).astype(int)
    moments = random.uniform(0, 4, size=(1024, 1))
    wave = 1.7 * np.exp(-0.4 * moments) * np.sin(2.2 * moments + 0.5) + 0.3
    heard = moments, wave + 0.02 * random.normal(size=moments.shape)
    parts = [
        trained(relu, ((64, 32), (32, 10)), cross_entropy, noisy(digits, 0.7), 64),
        trained(tanh, ((64, 16), (16, 16), (16, 10)), cross_entropy, noisy(doubtful, 0.3), 16),
        trained(relu, ((64, 10),), cross_entropy, digits, 128),
        trained(partial(dense, jax.nn.elu), ((20, 64), (64, 6)), cross_entropy, clouds, 32),
        trained(relu, ((12, 32), (32, 1)), squared, taught, 32),
        trained(relu, ((30, 1),), squared, line, 16),
        trained(tanh, ((64, 24), (24, 64)), squared, (pixels, pixels), 64),
        trained(normalized, ((64, 32), (32, 32), (32, 10)), cross_entropy, noisy(digits, 1.0), 64),
        trained(relu, ((576, 24), (24, 10)), cross_entropy, spotted, 16),
        trained(tanh, ((64, 64), (64, 64), (64, 10)), cross_entropy, noisy(digits, 0.7), 64),
        trained(relu, ((576, 10),), cross_entropy, spotted, 128),
        trained(factored, ((200, 8), (120, 8)), squared, rated, 64),
        trained(embedded, ((120, 6), (24, 64), (64, 2)), cross_entropy, sorted_out, 64),
        trained(waves, ((1, 5),), squared, heard, 16),
        trained(attentive, ((8, 16), (16, 48), (16, 16), (16, 10)), cross_entropy, faint, 16),
        trained(recurrent, ((8, 24), (24, 24), (24, 10)), cross_entropy, noisy(digits, 0.3), 64),
        trained(convolutional, ((9, 8), (128, 10)), cross_entropy, noisy(digits, 0.5), 32),
    ]
    return Together(parts)


RECIPE = {
    # Noise that is reused sees whole runs, and a tensor's network has few enough numbers for it.
    "optimizer": "blend(horizon=500.0)",
    "estimator": "pes(problems=8, std=0.05, reuse=True)",
    "steps": 500,
    "unroll": 50,
    "weigh_from": 50,
    "epochs": 60,
    "episodes": 8,
    "meta_rate": 0.005,
    "average": 0.985,
    "clip": 20000.0,
    "validation_problems": 8,
    "on_nonfinite": "skip",
}
NAMED = {"assorted": Named(make_assorted, RECIPE, "seventeen small networks, side by side")}
