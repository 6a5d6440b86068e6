"""An inverse problem: sharpen a blurred, noisy image y.  f(θ) = ‖Kθ − y‖² + 0.02 TV(θ)"""

import jax
import jax.numpy as jnp
from jax.scipy.signal import convolve

from metadescent import FromFunction
from metadescent.problems.data.digits import load_digits

KERNEL = [[1 / 16, 2 / 16, 1 / 16], [2 / 16, 4 / 16, 2 / 16], [1 / 16, 2 / 16, 1 / 16]]


def blur(image):
    return convolve(image, jnp.array(KERNEL), mode="same")


def init(key):
    return 0.01 * jax.random.normal(key, (8, 8))


def loss(theta, key, y):
    variation = sum(jnp.sum(jnp.sqrt(jnp.diff(theta, axis=a) ** 2 + 1e-4)) for a in (0, 1))
    return jnp.sum((blur(theta) - y) ** 2) + 0.02 * variation


def deblurring(seed: int = 0):
    images = load_digits()[0][seed % 2 :: 2].reshape(-1, 8, 8) / 16
    noise = 0.02 * jax.random.normal(jax.random.key(seed), images.shape)
    return FromFunction(loss, init, jax.vmap(blur)(images) + noise)
