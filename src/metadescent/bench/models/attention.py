"""Blocks that mix tokens: attention, or a perceptron over places; and networks of such blocks.

    x ← x + attention(norm(x)),    x ← x + w₂ gelu(w₁ norm(x))          a transformer's block
    x ← x + (v₂ gelu(v₁ norm(x)ᵀ))ᵀ,    x ← x + w₂ gelu(w₁ norm(x))     a mixer's block

Matrices are Glorot's; embeddings and places begin at N(0, 0.02²).

A. Vaswani et al., "Attention is all you need", 2017; A. Dosovitskiy et al., "An image is worth
16×16 words", 2021; I. Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision", 2021.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from metadescent.bench.models.convolutional import in_patches
from metadescent.bench.models.layers import (
    Layer,
    Plan,
    ToDraw,
    affine,
    apply_affine,
    norm_parameters,
    normalize,
)
from metadescent.bench.models.supervised import Network

Tokens = Float[Array, "batch places features"]
Block = dict[str, Layer]
SMALL = 0.02
WIDER = 2
"""The hidden units of a block's perceptron for each of its features."""


def _perceptron_plan(name: str, width: int) -> dict[str, Any]:
    """Return the plan of a perceptron with one hidden layer and as many outputs as inputs."""
    return {
        f"{name}_in": affine(width, WIDER * width),
        f"{name}_out": affine(WIDER * width, width),
    }


def _through_perceptron(block: Block, name: str, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return w₂ gelu(w₁ x)."""
    return apply_affine(block[f"{name}_out"], jax.nn.gelu(apply_affine(block[f"{name}_in"], x)))


def transformer_plan(features: int) -> dict[str, Any]:
    """Return the plan of a block of attention and a perceptron."""
    return {
        "attention_norm": norm_parameters("layer", features),
        "attention_in": affine(features, 3 * features),
        "attention_out": affine(features, features),
        "mlp_norm": norm_parameters("layer", features),
        **_perceptron_plan("mlp", features),
    }


def transformer_block(block: Block, x: Tokens, heads: int, *, is_causal: bool) -> Tokens:
    """Return the tokens after attention (to earlier places alone, if causal) and a perceptron."""
    y = apply_affine(block["attention_in"], normalize("layer", block["attention_norm"], x))
    # Queries, keys and values: batch × places × heads × features of a head.
    q, k, v = (part.reshape(*x.shape[:2], heads, -1) for part in jnp.split(y, 3, -1))
    mixed = jax.nn.dot_product_attention(q, k, v, is_causal=is_causal)
    x = x + apply_affine(block["attention_out"], mixed.reshape(x.shape))
    return x + _through_perceptron(block, "mlp", normalize("layer", block["mlp_norm"], x))


def mixer_plan(places: int, features: int) -> dict[str, Any]:
    """Return the plan of a block with a perceptron over places and one over features."""
    return {
        "place_norm": norm_parameters("layer", features),
        **_perceptron_plan("place", places),
        "mlp_norm": norm_parameters("layer", features),
        **_perceptron_plan("mlp", features),
    }


def mixer_block(block: Block, x: Tokens) -> Tokens:
    """Return the tokens after a perceptron over places and one over features."""
    y = normalize("layer", block["place_norm"], x).swapaxes(1, 2)
    x = x + _through_perceptron(block, "place", y).swapaxes(1, 2)
    return x + _through_perceptron(block, "mlp", normalize("layer", block["mlp_norm"], x))


class PatchReader(Network):
    """Squares of pixels as tokens, some blocks, and an affine map of the mean over places."""

    kind: Literal["transformer", "mixer"]
    side: int  # of a picture
    patch: int  # side of a square
    features: int
    depth: int
    heads: int = 4

    def plan(self) -> Plan:
        places = (self.side // self.patch) ** 2
        plan = {
            "patches": affine(self.patch**2, self.features),
            "norm": norm_parameters("layer", self.features),
            "out": affine(self.features, 10),
        }
        if self.kind == "mixer":
            return plan | {"blocks": [mixer_plan(places, self.features)] * self.depth}
        # Only this tells the blocks at which place a token is.
        where = ToDraw((places, self.features), SMALL)
        blocks = [transformer_plan(self.features)] * self.depth
        return plan | {"blocks": blocks, "places": where}

    def apply(
        self,
        theta: dict[str, Any],
        x: Float[Array, "batch height width 1"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, "batch outputs"]:
        del key
        squares = in_patches(x, self.patch)
        x = apply_affine(theta["patches"], squares.reshape(len(x), -1, self.patch**2))
        x = x + theta["places"] if "places" in theta else x
        for block in theta["blocks"]:
            if self.kind == "mixer":
                x = mixer_block(block, x)
            else:
                x = transformer_block(block, x, self.heads, is_causal=False)
        return apply_affine(theta["out"], normalize("layer", theta["norm"], x).mean(1))


class LetterTransformer(Network):
    """Predicts each next letter from those up to it: embeddings, blocks, an affine map."""

    letters: int
    times: int
    features: int
    depth: int
    heads: int = 4

    def plan(self) -> Plan:
        return {
            "embedding": ToDraw((self.letters, self.features), SMALL),
            "places": ToDraw((self.times, self.features), SMALL),
            "blocks": [transformer_plan(self.features)] * self.depth,
            "norm": norm_parameters("layer", self.features),
            "out": affine(self.features, self.letters),
        }

    def apply(
        self, theta: dict[str, Any], x: Integer[Array, "batch times"], key: PRNGKeyArray | None
    ) -> Float[Array, "batch times letters"]:
        del key
        x = theta["embedding"][x] + theta["places"]
        for block in theta["blocks"]:
            x = transformer_block(block, x, self.heads, is_causal=True)
        return apply_affine(theta["out"], normalize("layer", theta["norm"], x))
