"""Neural art (section 3.4): the content of one picture in the style of another.

    f(θ) = α L_content(c, θ) + β L_style(s, θ) + γ L_reg(θ)
    L_content = Σ (F − P)² / Σ P²                      F, P: features of θ and of c at one layer
    L_style   = mean over layers of Σ (G − A)² / Σ A²  G, A: Gram matrices of θ and of s
    L_reg     = mean (θ_{i+1,j} − θ_{i,j})² + mean (θ_{i,j+1} − θ_{i,j})²       over all colours

Gatys et al. have ½ Σ (F − P)² and Σ_l w_l Σ (G − A)² / (4 N² M²) with weights of one's choice. The
choice here is such that a layer adds 1 where the network sees nothing, whatever the size of its
features; in VGG-19 they differ by a factor of 20 from layer to layer, and L_style goes with their
fourth power. A Gram matrix is a mean over places, so pictures of different sizes compare.
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
    """The three losses of a picture, before they are weighed.

    Example:
        Each of the first two is 1 where nothing is seen, such as black where white is wanted:

        >>> class Colours(FeatureNetwork):
        ...     style_layers, content_layer, least_size = ("a",), "a", 2
        ...     def __call__(self, pixels, layers):
        ...         return {"a": pixels / 255}
        >>> white = jnp.full((1, 4, 4, 3), 255, jnp.uint8)
        >>> f = NeuralArt(Colours(), white, white[0]).of(white[0])
        >>> content, style, reg = f.terms(jnp.full((4, 4, 3), -1.0))
        >>> float(content), float(style), float(reg)
        (1.0, 1.0, 0.0)
    """

    content: Float[Array, ""]
    style: Float[Array, ""]
    reg: Float[Array, ""]


class StyledPicture(Optimizee):
    """f of one pair of content and style; θ is the styled picture, height × width × colours.

    θ is −1 for black and 1 for white and may go beyond; `to_pixels` and `to_theta` convert. f is
    not stochastic: `loss` ignores its key.

    θ₀ is the content or plain grey, with Gaussian noise of standard deviation `theta_std` on it;
    the white noise that Gatys et al. begin with is grey with much of it, such as 0.5.

    Example:
        >>> class Colours(FeatureNetwork):
        ...     style_layers, content_layer, least_size = ("a",), "a", 2
        ...     def __call__(self, pixels, layers):
        ...         return {"a": pixels / 255}
        >>> white, key = jnp.full((1, 4, 4, 3), 255, jnp.uint8), jax.random.key(0)
        >>> f = NeuralArt(Colours(), white, white[0], alpha=2.0, beta=3.0).of(white[0])
        >>> [float(f.loss(jnp.full((4, 4, 3), level), key)) for level in (1.0, -1.0)]
        [0.0, 5.0]
    """

    network: FeatureNetwork
    content: Picture
    features: Features
    grams: dict[str, Float[Array, "_ _"]]
    alpha: float = eqx.field(static=True)
    beta: float = eqx.field(static=True)
    gamma: float = eqx.field(static=True)
    start: str = eqx.field(static=True)
    theta_std: float = eqx.field(static=True)

    def init(self, key: PRNGKeyArray) -> Styled:
        """Draw θ₀."""
        content = to_theta(self.content)
        middle = content if self.start == "content" else jnp.zeros_like(content)
        return middle + self.theta_std * jax.random.normal(key, content.shape)

    def loss(self, theta: Styled, key: PRNGKeyArray) -> Float[Array, ""]:
        """Return f(θ)."""
        del key
        found = self.terms(theta)
        return self.alpha * found.content + self.beta * found.style + self.gamma * found.reg

    def terms(self, theta: Styled) -> Terms:
        """Return L_content, L_style and L_reg of a picture."""
        layer = self.network.content_layer
        found = self.network(_as_pixels(theta), (layer, *self.grams))
        style = [_relative(gram(found[name]), target) for name, target in self.grams.items()]
        content = _relative(found[layer], self.features)
        return Terms(content, jnp.mean(jnp.stack(style)), roughness(theta))


class NeuralArt(Problem):
    """Pictures drawn from a set, each to be had in one style (section 3.4).

    What f compares with is computed once, when f is drawn: the content's features in `sample`, the
    style's Gram matrices here.

    Arguments:
        network: where the features come from.
        contents: pictures, uint8, pictures × height × width × 3, 0 for black.
        style: a picture, uint8, height × width × 3, of any size that the network takes.
        alpha, beta, gamma: the weights of content, style and smoothness.
        start: whether θ₀ is the content or grey, before noise.
        theta_std: standard deviation of the noise in θ₀.
        each: a batch goes through the contents in turn, in an order that is drawn once and for all,
            before one comes a second time; otherwise each of its optimizees draws its own.

    Raises:
        UserError: if a picture is too small for the network or a weight is negative.

    Example:
        >>> class Colours(FeatureNetwork):
        ...     style_layers, content_layer, least_size = ("a",), "a", 2
        ...     def __call__(self, pixels, layers):
        ...         return {"a": pixels / 255}
        >>> pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
        >>> f = NeuralArt(Colours(), pictures, pictures[0]).sample(jax.random.key(0))
        >>> theta = f.init(jax.random.key(1))
        >>> theta.shape, bool(f.loss(theta, jax.random.key(2)) > 0)
        ((4, 4, 3), True)
    """

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
        contents: np.ndarray | Array,
        style: np.ndarray | Array,
        *,
        alpha: float = ALPHA,
        beta: float = BETA,
        gamma: float = GAMMA,
        start: str = "content",
        theta_std: float = 0.02,
        each: bool = False,
    ):
        for name, value in {"alpha": alpha, "beta": beta, "gamma": gamma}.items():
            require(name, value, 0.0)
        require("theta_std", theta_std, 0.0)
        if start not in STARTS:
            raise UserError(
                f'start is {start!r} and must be one of {", ".join(STARTS)}; try start="content"'
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
        """Draw the content."""
        index = jax.random.randint(key, (), 0, len(self.contents))
        return self.of(self.contents[index])

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> StyledPicture:
        """Draw the content, or take that of a number."""
        if not self.each:
            return self.sample(key)
        order = jax.random.permutation(jax.random.key(0), len(self.contents))
        return self.of(self.contents[order[number % len(order)]])

    @property
    def at_once(self) -> int:
        """Return how many pictures are styled side by side, so that features fit a cache."""
        pixels = self.contents.shape[1] * self.contents.shape[2]
        most = PIXELS_AT_ONCE * (1 if jax.default_backend() == "cpu" else ON_ACCELERATORS)
        return max(1, most // pixels)

    def of(self, content: Picture) -> StyledPicture:
        """Return f for a content of one's own."""
        layer = self.network.content_layer
        features = self.network(content.astype(float), [layer])[layer]
        return StyledPicture(
            self.network,
            content,
            features,
            self.grams,
            self.alpha,
            self.beta,
            self.gamma,
            self.start,
            self.theta_std,
        )


@eqx.filter_jit
def _grams(network: FeatureNetwork, style: Picture) -> dict[str, Float[Array, "_ _"]]:
    found = network(style.astype(float), network.style_layers)
    return {layer: gram(features) for layer, features in found.items()}


def roughness(theta: Styled) -> Float[Array, ""]:
    """Return L_reg, the mean square of the steps from each pixel to the next, down and across.

    Example:
        >>> float(roughness(jnp.zeros((4, 4, 3)).at[:, 2:].set(2.0)).round(3))
        1.333
    """
    down, across = theta[1:] - theta[:-1], theta[:, 1:] - theta[:, :-1]
    return jnp.mean(down**2) + jnp.mean(across**2)


def to_theta(pixels: UInt8[Array | np.ndarray, "height width 3"]) -> Styled:
    """Return a picture as θ: from 0 … 255 to −1 … 1.

    Example:
        >>> to_theta(np.asarray([[[0, 51, 255]]], np.uint8)).round(2).tolist()
        [[[-1.0, -0.6, 1.0]]]
    """
    return jnp.asarray(pixels).astype(float) / 127.5 - 1.0


def to_pixels(theta: Styled) -> UInt8[np.ndarray, "height width 3"]:
    """Return θ as a picture, rounded; what is beyond black and white is cut off.

    Example:
        >>> to_pixels(jnp.asarray([[[-1.0, 0.0, 3.0]]])).tolist()
        [[[0, 128, 255]]]
    """
    return np.clip(np.rint(_as_pixels(np.asarray(theta, float))), 0, 255).astype(np.uint8)


def _as_pixels(theta: Any) -> Any:
    return 127.5 * (theta + 1.0)


def _relative(found: Array, target: Array) -> Float[Array, ""]:
    """Return Σ (found − target)² / Σ target²."""
    tiny = jnp.finfo(target.dtype).tiny
    return jnp.sum((found - target) ** 2) / jnp.maximum(jnp.sum(target**2), tiny)
