"""Neural art (section 3.4): the content of one picture in the style of another.

    f(θ) = α L_content(c, θ) + β L_style(s, θ) + γ L_reg(θ)
    L_content = Σ (F − P)² / Σ P²                      F, P: features of θ and of c at one layer
    L_style   = mean over layers of Σ (G − A)² / Σ A²  G, A: Gram matrices of θ and of s
    L_reg     = mean (θ_{i+1,j} − θ_{i,j})² + mean (θ_{i,j+1} − θ_{i,j})²       over all colours

The terms of Gatys et al. are ½ Σ (F − P)² and Σ_l w_l Σ (G − A)² / (4 N² M²), with weights to be
chosen. Ours are relative to the target of each layer, so in any layer a term is 1 if all features
of θ are 0. In VGG-19 features differ by a factor of 20 from layer to layer, and Σ (G − A)² grows
with their fourth power. A Gram matrix is a mean over places, so pictures of different sizes can be
compared.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from metadescent._errors import UserError, require
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.neural_art.features import FeatureNetwork, Features, gram

STARTS = ("content", "noise")
Styled = Float[Array, "height width 3"]
Picture = UInt8[Array, "height width 3"]

# Chosen by eye, with both networks: docs/neural-art.md.
ALPHA, BETA, GAMMA = 1.0, 5.0, 1.0
# Four pictures of 64 × 64, whose features fit the cache of a CPU: `benchmarks/neural_art.py`.
PIXELS_AT_ONCE = 4 * 64 * 64
ON_ACCELERATORS = 64


class Terms(NamedTuple):
    """The three losses of a picture, before they are multiplied by α, β and γ."""

    content: Float[Array, ""]
    style: Float[Array, ""]
    reg: Float[Array, ""]


class StyledPicture(Optimizee):
    """f of one pair of content and style; θ is the styled picture, −1 for black and 1 for white."""

    network: FeatureNetwork
    content: Picture
    # P, computed when f is drawn, and A by layer, computed when the problem is made.
    features: Features
    grams: dict[str, Float[Array, "_ _"]]
    alpha: float = eqx.field(static=True)
    beta: float = eqx.field(static=True)
    gamma: float = eqx.field(static=True)
    start: str = eqx.field(static=True)
    theta_std: float = eqx.field(static=True)

    def init(self, key: PRNGKeyArray) -> Styled:
        """Draw θ₀: the content or plain grey, with Gaussian noise on it."""
        # Gatys et al. begin with white noise: grey with a `theta_std` of, for example, 0.5.
        content = to_theta(self.content)
        middle = content if self.start == "content" else jnp.zeros_like(content)
        return middle + self.theta_std * jax.random.normal(key, content.shape)

    def loss(self, theta: Styled, key: PRNGKeyArray) -> Float[Array, ""]:
        del key
        terms = self.terms(theta)
        return self.alpha * terms.content + self.beta * terms.style + self.gamma * terms.reg

    def terms(self, theta: Styled) -> Terms:
        """Return L_content, L_style and L_reg of a picture."""
        layer = self.network.content_layer
        seen = self.network(_as_pixels(theta), (layer, *self.grams))
        style = [_relative(gram(seen[name]), target) for name, target in self.grams.items()]
        content = _relative(seen[layer], self.features)
        return Terms(content, jnp.mean(jnp.stack(style)), roughness(theta))


class NeuralArt(Problem):
    """Pictures drawn from a set, each to be given one style (section 3.4)."""

    network: FeatureNetwork
    contents: UInt8[Array, "pictures height width 3"]
    grams: dict[str, Float[Array, "_ _"]]
    alpha: float = eqx.field(static=True)
    beta: float = eqx.field(static=True)
    gamma: float = eqx.field(static=True)
    start: str = eqx.field(static=True)
    theta_std: float = eqx.field(static=True)
    each: bool = eqx.field(static=True)

    def __init__(
        self,
        network: FeatureNetwork,
        contents: np.ndarray | Array,  # uint8, pictures × height × width × 3
        style: np.ndarray | Array,  # of any size that the network takes
        *,
        alpha: float = ALPHA,
        beta: float = BETA,
        gamma: float = GAMMA,
        start: str = "content",
        theta_std: float = 0.02,
        each: bool = False,  # a batch goes through the contents in turn, instead of drawing each
    ):
        for name, value in {"alpha": alpha, "beta": beta, "gamma": gamma}.items():
            require(name, value, 0.0)
        require("theta_std", theta_std, 0.0)
        if start not in STARTS:
            raise UserError(
                f'start is {start!r} and must be one of {", ".join(STARTS)}; try start="content"'
            )
        for kind, pictures in {"contents": contents, "style": style}.items():
            if pictures.dtype != np.uint8:
                raise UserError(
                    f"{kind} is {pictures.dtype} and must be uint8, 0 for black and 255 for white; "
                    f"try (255 * {kind}).astype(numpy.uint8) of values from 0 to 1"
                )
        for kind, shape in (("content", contents.shape[1:3]), ("style", style.shape[:2])):
            if min(shape) < network.least_size:
                raise UserError(
                    f"a {kind} picture has {shape[0]} × {shape[1]} pixels and "
                    f"{type(network).__name__} takes {network.least_size} × {network.least_size} "
                    f"or more; try size={network.least_size}"
                )
        self.network, self.contents = network, jnp.asarray(contents)
        self.grams = _grams(network, jnp.asarray(style))
        self.alpha, self.beta, self.gamma = float(alpha), float(beta), float(gamma)
        self.start, self.theta_std, self.each = start, float(theta_std), each

    def sample(self, key: PRNGKeyArray) -> StyledPicture:
        index = jax.random.randint(key, (), 0, len(self.contents))
        return self.of(self.contents[index])

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> StyledPicture:
        """Draw the content or, with `each`, take the content with this number."""
        if not self.each:
            return self.sample(key)
        # One order for all keys: a content has the same number in every batch.
        order = jax.random.permutation(jax.random.key(0), len(self.contents))
        return self.of(self.contents[order[number % len(order)]])

    @property
    def at_once(self) -> int:
        """Return how many pictures are styled side by side, so that features fit a cache."""
        pixels = self.contents.shape[1] * self.contents.shape[2]
        most = PIXELS_AT_ONCE * (1 if jax.default_backend() == "cpu" else ON_ACCELERATORS)
        return max(1, most // pixels)

    def of(self, content: Picture) -> StyledPicture:
        """Return f for a given content."""
        layer = self.network.content_layer
        features = self.network(content.astype(float), [layer])[layer]
        weights = self.alpha, self.beta, self.gamma
        return StyledPicture(
            self.network, content, features, self.grams, *weights, self.start, self.theta_std
        )


@eqx.filter_jit
def _grams(network: FeatureNetwork, style: Picture) -> dict[str, Float[Array, "_ _"]]:
    seen = network(style.astype(float), network.style_layers)
    return {layer: gram(features) for layer, features in seen.items()}


def roughness(theta: Styled) -> Float[Array, ""]:
    """Return L_reg, the mean square of differences from each pixel to the next, down and across."""
    down, across = theta[1:] - theta[:-1], theta[:, 1:] - theta[:, :-1]
    return jnp.mean(down**2) + jnp.mean(across**2)


def to_theta(pixels: UInt8[Array | np.ndarray, "height width 3"]) -> Styled:
    """Return a picture as θ: from 0 … 255 to −1 … 1."""
    return jnp.asarray(pixels).astype(float) / 127.5 - 1.0


def to_pixels(theta: Styled) -> UInt8[np.ndarray, "height width 3"]:
    """Return θ as a picture, rounded; values beyond black and white are cut off."""
    return np.clip(np.rint(_as_pixels(np.asarray(theta, float))), 0, 255).astype(np.uint8)


def _as_pixels(theta: Any) -> Any:
    return 127.5 * (theta + 1.0)


def _relative(actual: Array, target: Array) -> Float[Array, ""]:
    """Return Σ (actual − target)² / Σ target²."""
    # A target that is 0 everywhere gives a division by `tiny`, because 0 / 0 would be NaN.
    tiny = jnp.finfo(target.dtype).tiny
    return jnp.sum((actual - target) ** 2) / jnp.maximum(jnp.sum(target**2), tiny)
