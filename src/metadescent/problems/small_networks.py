"""Small networks as functions of layers and inputs, which `assorted` trains, and their θ₀.

θ is a list of layers (w, b); w has its outputs on the last axis.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

Layers = list[tuple[Array, Array]]
Net = Callable[[Layers, Array], Array]
SPREAD = 0.5
"""The standard deviation of the logarithm of the scale of a layer's first weights."""


def fan_in(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """Return weights from U(−1/√n, 1/√n), where n is the product of all axes but the last."""
    bound = float(np.prod(shape[:-1])) ** -0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def begin(key: PRNGKeyArray, sizes: tuple[tuple[int, ...], ...]) -> Layers:
    """Return layers with weights of these shapes, at random scales, and with biases of 0.

    In practice inputs have many scales. To an optimizer that treats each part of θ by itself, a
    scale of the inputs is the same as a scale of the weights.
    """
    factors, *keys = jax.random.split(key, len(sizes) + 1)
    scales = jnp.exp(SPREAD * jax.random.normal(factors, (len(sizes),)))
    return [
        (scale * fan_in(k, size), jnp.zeros(size[-1]))
        for k, size, scale in zip(keys, sizes, scales, strict=True)
    ]


def dense(activate: Callable[[Array], Array], theta: Layers, x: Array) -> Array:
    """Return the outputs of a multilayer perceptron."""
    *hidden, (w_out, b_out) = theta
    for w, b in hidden:
        x = activate(x @ w + b)
    return x @ w_out + b_out


def normalized(theta: Layers, x: Array) -> Array:
    """Return the outputs of a perceptron with hidden units normalized, example by example."""
    return dense(lambda x: jax.nn.relu(jax.nn.standardize(x)), theta, x)


def residual(theta: Layers, x: Array) -> Array:
    """Return the outputs of a perceptron whose hidden layers are added to their inputs."""
    (w_in, b_in), *hidden, (w_out, b_out) = theta
    x = jax.nn.relu(x @ w_in + b_in)
    for w, b in hidden:
        x = x + jax.nn.relu(jax.nn.standardize(x) @ w + b)
    return jax.nn.standardize(x) @ w_out + b_out


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
    # A product of patches takes the place of XLA's convolution, which is slow in a loop.
    patches = [squares[:, i : i + 8 : 2, j : j + 8 : 2] for i in range(3) for j in range(3)]
    maps = jax.nn.relu(jnp.stack(patches, -1) @ w + b)
    return dense(jax.nn.relu, [last], maps.reshape(len(x), -1))


def attentive(theta: Layers, x: Float[Array, "batch pixels"]) -> Array:
    """Return the outputs of one head of attention over the rows of pictures."""
    (w_in, place), (w_qkv, b_qkv), (w, b), (w_out, b_out) = theta
    h = x.reshape(len(x), 8, 8) @ w_in + place
    q, k, v = jnp.split(jax.nn.standardize(h) @ w_qkv + b_qkv, 3, -1)
    scores = jax.nn.softmax(q @ k.mT / np.sqrt(q.shape[-1]), -1)
    h = h + scores @ v
    h = h + jax.nn.gelu(jax.nn.standardize(h) @ w + b)
    return h.mean(1) @ w_out + b_out


def rows_of(table: Float[Array, "n d"], x: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
    """Return rows by number, as a product, because the gradient of indexing is slow in a loop."""
    return jax.nn.one_hot(x, len(table), dtype=table.dtype) @ table


def embedded(theta: Layers, x: Int[Array, "batch columns"]) -> Array:
    """Return the outputs of a perceptron on the embeddings of categories."""
    (table, _), *layers = theta
    return dense(jax.nn.relu, layers, rows_of(table, x).reshape(len(x), -1))


def factored(theta: Layers, x: Int[Array, "batch 2"]) -> Array:
    """Return products of two embeddings."""
    (left, _), (right, _) = theta
    return (rows_of(left, x[:, 0]) * rows_of(right, x[:, 1])).sum(-1, keepdims=True)


def waves(theta: Layers, x: Float[Array, "batch 1"]) -> Array:
    """Return a damped wave: its height, decay, frequency, phase and mean are the coordinates."""
    ((_, p),) = theta
    a, b, c, d, e = p
    return jnp.exp(a) * jnp.exp(-jnp.exp(b) * x) * jnp.sin(jnp.exp(c) * x + d) + e
