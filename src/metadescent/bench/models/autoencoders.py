"""Autoencoders of pictures: plain, denoising, variational."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from metadescent.bench.fitting import Model
from metadescent.bench.models.layers import drawn, dtype_of
from metadescent.bench.models.perceptron import MLP
from metadescent.problems.base import Theta

Bytes = UInt8[Array, "batch height width colours"]
Units = Float[Array, "batch pixels"]

MEASURED_BY = 0
"""The key for what a measurement draws, which is the same at every step."""


class Autoencoder(Model):
    """The mean over pixels of the cross-entropy between a picture and its reconstruction.

    With noise, the network sees x + noise · ε, ε ~ N(0, 1), and has to return x: P. Vincent, H.
    Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with
    denoising autoencoders", 2008.
    """

    network: MLP
    noise: float = 0.0

    def init(self, key: PRNGKeyArray) -> Theta:
        return drawn(key, self.network.plan())

    def loss(self, theta: Theta, examples: Bytes, key: PRNGKeyArray | None) -> Float[Array, "..."]:
        x = brightness(examples, theta)
        shown = x
        if self.noise:
            noise_key = jax.random.key(MEASURED_BY) if key is None else key
            shown = x + self.noise * jax.random.normal(noise_key, x.shape, x.dtype)
        return optax.sigmoid_binary_cross_entropy(self.network.apply(theta, shown, None), x).mean()


class VariationalAutoencoder(Model):
    """The negative evidence lower bound in nats a picture, with one draw of z each.

        mean of Σ_pixels cross-entropy(x, decoder(z)) + KL(N(μ, σ²) ‖ N(0, 1)),  z = μ + σ ε

    D. Kingma and M. Welling, "Auto-encoding variational Bayes", 2014.
    """

    encoder: MLP  # its outputs are μ and log σ
    decoder: MLP

    def init(self, key: PRNGKeyArray) -> dict[str, Any]:
        return drawn(key, {"encoder": self.encoder.plan(), "decoder": self.decoder.plan()})

    def loss(
        self, theta: dict[str, Any], examples: Bytes, key: PRNGKeyArray | None
    ) -> Float[Array, "..."]:
        x = brightness(examples, theta)
        mean, log_std = jnp.split(self.encoder.apply(theta["encoder"], x, None), 2, axis=-1)
        z_key = jax.random.key(MEASURED_BY) if key is None else key
        z = mean + jnp.exp(log_std) * jax.random.normal(z_key, mean.shape, mean.dtype)
        logits = self.decoder.apply(theta["decoder"], z, None)
        divergence = 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1 - 2 * log_std).sum(-1)
        return (optax.sigmoid_binary_cross_entropy(logits, x).sum(-1) + divergence).mean()


def brightness(images: Bytes, theta: Theta) -> Units:
    """Return pictures as rows of numbers from 0 to 1."""
    return images.reshape(len(images), -1).astype(dtype_of(theta)) / 255
