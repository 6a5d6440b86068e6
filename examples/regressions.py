"""Many small regressions: 500 logistic ones, each with 30 observations of its own."""

import jax
import jax.numpy as jnp

from metadescent import FromFunction


def init(key):
    return {"w": 0.1 * jax.random.normal(key, (4,)), "b": jnp.zeros(())}


def loss(theta, key, task):
    z = task["x"] @ theta["w"] + theta["b"]
    return jnp.mean(jax.nn.softplus(z) - task["y"] * z) + 0.01 * jnp.sum(theta["w"] ** 2)


def regressions(size: int = 500, seed: int = 0):
    x_key, w_key, y_key = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(x_key, (size, 30, 4))
    z = jnp.einsum("nij,nj->ni", x, 2 * jax.random.normal(w_key, (size, 4)))
    y = jax.random.bernoulli(y_key, jax.nn.sigmoid(z)).astype(float)
    return FromFunction(loss, init, {"x": x, "y": y})
