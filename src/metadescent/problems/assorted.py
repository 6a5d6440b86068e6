"""Ten small networks of the kinds that scripts have, side by side: to learn a general optimizer on.

    F(θ¹, …, θ¹⁰) = Σ_k log(f_k(θᵏ) + 10⁻⁴), at most 4 each,    with ∇f_k as gradient

Classifiers of several depths, activations and batches, a normalized, a recurrent and a convolutional
one, an autoencoder, regressions of a teacher and of a line. Their data are scikit-learn's 8×8 digits
and what a seed draws; none is MNIST's, CIFAR-10's, or a table that `metadescent bench` is held to.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from metadescent.problems.base import Named, Problem
from metadescent.problems.data.digits import load_digits
from metadescent.problems.from_function import FromFunction
from metadescent.problems.together import Together

Layers = list[tuple[Array, Array]]
Net = Callable[[Layers, Array], Array]
SEED = 0
"""Of the data that are drawn."""
LEAST, MOST = 1e-4, 4.0
"""What is added to f, and the most that its logarithm counts."""


def fan_in(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """Return weights from U(−1/√n, 1/√n), where n is the product of all axes but the last."""
    bound = float(np.prod(shape[:-1])) ** -0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def begin(key: PRNGKeyArray, sizes: tuple[tuple[int, ...], ...]) -> Layers:
    """Return layers of weights of these shapes, with biases of 0."""
    keys = jax.random.split(key, len(sizes))
    return [(fan_in(k, size), jnp.zeros(size[-1])) for k, size in zip(keys, sizes, strict=True)]


def dense(activate: Callable[[Array], Array], theta: Layers, x: Array) -> Array:
    """Return the outputs of a multilayer perceptron."""
    *hidden, (w_out, b_out) = theta
    for w, b in hidden:
        x = activate(x @ w + b)
    return x @ w_out + b_out


def normalized(theta: Layers, x: Array) -> Array:
    """Return the outputs of one whose hidden units are normalized, example by example."""
    return dense(lambda x: jax.nn.relu(jax.nn.standardize(x)), theta, x)


def recurrent(theta: Layers, x: Float[Array, "batch pixels"]) -> Array:
    """Return the outputs of a recurrent network that reads pictures row by row."""
    (w_in, b_in), (w, b), (w_out, b_out) = theta
    rows = jnp.moveaxis(x.reshape(len(x), 8, 8), 1, 0)

    def step(h: Array, row: Array) -> tuple[Array, None]:
        return jnp.tanh(row @ w_in + b_in + h @ w + b), None

    h, _ = jax.lax.scan(step, jnp.zeros((x.shape[0], w.shape[0])), rows)
    return h @ w_out + b_out


def convolutional(theta: Layers, x: Float[Array, "batch pixels"]) -> Array:
    """Return the outputs of a convolution of 3 × 3, with a stride of 2, under a dense layer."""
    (w, b), last = theta
    squares = jnp.pad(x.reshape(len(x), 8, 8), ((0, 0), (1, 1), (1, 1)))
    # As products of patches: XLA's convolution is slow in a loop.
    patches = [squares[:, i : i + 8 : 2, j : j + 8 : 2] for i in range(3) for j in range(3)]
    maps = jax.nn.relu(jnp.stack(patches, -1) @ w + b)
    return dense(jax.nn.relu, [last], maps.reshape(len(x), -1))


def attentive(theta: Layers, x: Float[Array, "batch pixels"]) -> Array:
    """Return the outputs of a head of attention over the rows of pictures, with a residual layer."""
    (w_in, place), (w_qkv, b_qkv), (w, b), (w_out, b_out) = theta
    h = x.reshape(len(x), 8, 8) @ w_in + place
    q, k, v = jnp.split(jax.nn.standardize(h) @ w_qkv + b_qkv, 3, -1)
    scores = jax.nn.softmax(q @ k.mT / np.sqrt(q.shape[-1]), -1)
    h = h + scores @ v
    h = h + jax.nn.gelu(jax.nn.standardize(h) @ w + b)
    return h.mean(1) @ w_out + b_out


def embedded(theta: Layers, x: Int[Array, "batch columns"]) -> Array:
    """Return the outputs of a perceptron on the embeddings of categories."""
    (table, _), *layers = theta
    return dense(jax.nn.relu, layers, table[x].reshape(len(x), -1))


def factored(theta: Layers, x: Int[Array, "batch 2"]) -> Array:
    """Return products of two embeddings."""
    (left, _), (right, _) = theta
    return (left[x[:, 0]] * right[x[:, 1]]).sum(-1, keepdims=True)


def waves(theta: Layers, x: Float[Array, "batch 1"]) -> Array:
    """Return a damped wave, of which each number is a coordinate: rate, frequency, phase, heights."""
    ((_, p),) = theta
    a, b, c, d, e = p
    return jnp.exp(a) * jnp.exp(-jnp.exp(b) * x) * jnp.sin(jnp.exp(c) * x + d) + e


def cross_entropy(y: Array, labels: Array) -> Array:
    """Return the mean cross-entropy of logits."""
    return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()


def squared(y: Array, targets: Array) -> Array:
    """Return the mean squared error."""
    return jnp.mean((y - targets) ** 2)


def in_ratios(f: Array) -> Array:
    """Return the logarithm of f, with the gradient of f: an optimizer is judged by ratios."""
    value = jnp.nan_to_num(jnp.log(f + LEAST), nan=MOST, posinf=MOST)
    return f + jax.lax.stop_gradient(jnp.minimum(value, MOST) - f)


def trained(
    net: Net,
    sizes: tuple[tuple[int, ...], ...],
    loss: Any,
    data: Any,
    batch_size: int,
    noise: float = 0.0,
) -> Problem:
    """Return the problem of training a network, on inputs with noise where it would learn by heart."""

    def f(theta: Layers, key: PRNGKeyArray, batch: tuple[Array, Array]) -> Array:
        x, y = batch
        if noise:
            x = x + noise * jax.random.normal(key, x.shape)
        return in_ratios(loss(net(theta, x), y))

    return FromFunction(f, partial(begin, sizes=sizes), data, batch_size=batch_size)


def make_assorted() -> Problem:
    """Return the ten."""
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
    relu, tanh = partial(dense, jax.nn.relu), partial(dense, jnp.tanh)
    wide = np.kron(images.reshape(-1, 8, 8), np.ones((3, 3)))
    large = (wide.reshape(len(labels), -1) / 16.0).astype(np.float32), labels
    people = random.integers([200, 120], size=(8192, 2))
    tastes = random.normal(size=(200, 4)), random.normal(size=(120, 4))
    likings = (tastes[0][people[:, 0]] * tastes[1][people[:, 1]]).sum(1, keepdims=True) / 2
    rated = people, likings + 0.2 * random.normal(size=likings.shape)
    columns = random.integers(30, size=(8192, 4)) + 30 * np.arange(4)
    worth = random.normal(size=120)[columns]
    sorted_out = columns, (worth[:, 0] * worth[:, 1] + worth[:, 2] > worth[:, 3]).astype(int)
    moments = random.uniform(0, 4, size=(1024, 1))
    heard = moments, 1.7 * np.exp(-0.4 * moments) * np.sin(2.2 * moments + 0.5) + 0.3
    parts = [
        trained(relu, ((64, 32), (32, 10)), cross_entropy, digits, 64, 0.7),
        trained(tanh, ((64, 16), (16, 16), (16, 10)), cross_entropy, doubtful, 16, 0.3),
        trained(relu, ((64, 10),), cross_entropy, digits, 128),
        trained(partial(dense, jax.nn.elu), ((20, 64), (64, 6)), cross_entropy, clouds, 32),
        trained(relu, ((12, 32), (32, 1)), squared, taught, 32),
        trained(relu, ((30, 1),), squared, line, 16),
        trained(tanh, ((64, 24), (24, 64)), squared, (pixels, pixels), 64, 0.1),
        trained(normalized, ((64, 32), (32, 32), (32, 10)), cross_entropy, digits, 64, 1.0),
        trained(relu, ((576, 64), (64, 10)), cross_entropy, large, 16, 0.5),
        trained(tanh, ((64, 128), (128, 128), (128, 10)), cross_entropy, digits, 64, 0.7),
        trained(relu, ((576, 10),), cross_entropy, large, 128, 0.3),
        trained(factored, ((200, 8), (120, 8)), squared, rated, 64),
        trained(embedded, ((120, 6), (24, 64), (64, 2)), cross_entropy, sorted_out, 64),
        trained(waves, ((1, 5),), squared, heard, 16, 0.02),
        trained(attentive, ((8, 16), (16, 48), (16, 16), (16, 10)), cross_entropy, digits, 16, 0.4),
        trained(recurrent, ((8, 24), (24, 24), (24, 10)), cross_entropy, digits, 64, 0.3),
        trained(convolutional, ((9, 8), (128, 10)), cross_entropy, digits, 32, 0.5),
    ]
    return Together(parts)


NAMED = {"assorted": Named(make_assorted, {}, "ten small networks and regressions, side by side")}
