"""Layers of networks, and how their θ₀ is drawn.

A network states its plan of θ₀: arrays, and leaves `ToDraw`, which are drawn all at once. One draw
for each leaf would be just as random, but takes many times as long to compile.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

Layer = dict[str, Float[Array, "..."]]
Plan = PyTree[Any]
Norm = Literal["none", "layer", "batch"]

# The ε of layer and batch normalization, as in PyTorch.
EPSILON = 1e-5
RECTIFIERS = {"relu", "elu", "gelu", "silu"}


@dataclass(frozen=True)
class ToDraw:
    """A leaf of θ₀ from N(0, std²)."""

    shape: tuple[int, ...]
    std: float


Start = Callable[..., ToDraw]


def drawn(key: PRNGKeyArray, plan: Plan) -> PyTree[Array]:
    """Return θ₀ by a plan."""
    leaves, structure = jax.tree.flatten(plan)
    sizes = [math.prod(leaf.shape) if isinstance(leaf, ToDraw) else 0 for leaf in leaves]
    row = jax.random.normal(key, (sum(sizes),))
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return structure.unflatten(
        [
            leaf.std * row[end - size : end].reshape(leaf.shape) if size else leaf
            for leaf, size, end in zip(leaves, sizes, ends, strict=True)
        ]
    )


def glorot(*shape: int) -> ToDraw:
    """Return weights … × inputs × outputs of the variance 2 / (inputs + outputs)."""
    places = math.prod(shape[:-2])
    return ToDraw(shape, (2 / (places * (shape[-2] + shape[-1]))) ** 0.5)


def he(*shape: int) -> ToDraw:
    """Return weights … × inputs × outputs of the variance 2 / inputs, for rectifiers."""
    return ToDraw(shape, (2 / math.prod(shape[:-1])) ** 0.5)


def small(*shape: int) -> ToDraw:
    """Return weights … × inputs × outputs of the variance 1 / (3 inputs), PyTorch's default."""
    return ToDraw(shape, (1 / (3 * math.prod(shape[:-1]))) ** 0.5)


def start_for(activation: str) -> Start:
    """Return how the weights before an activation begin: He's if half of the inputs is cut off."""
    return he if activation in RECTIFIERS else glorot


def affine(inputs: int, outputs: int, start: Start = glorot) -> dict[str, Any]:
    """Return the plan of x w + b; b begins at 0."""
    return {"w": start(inputs, outputs), "b": jnp.zeros(outputs)}


def apply_affine(layer: Layer, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
    """Return x w + b."""
    return x @ layer["w"] + layer["b"]


def norm_parameters(norm: Norm, features: int) -> Layer:
    """Return the scale and the shift of a normalization, empty if there is none."""
    if norm == "none":
        return {}
    return {"scale": jnp.ones(features), "shift": jnp.zeros(features)}


def normalize(
    norm: Norm, layer: Layer, x: Float[Array, "batch ... features"]
) -> Float[Array, "batch ... features"]:
    """Return x with mean 0 and variance 1, scaled and shifted; by place or by feature.

    Batch normalization uses the means of the given examples, in measurements as in training.
    """
    if norm == "none":
        return x
    axes = -1 if norm == "layer" else tuple(range(x.ndim - 1))
    centred = x - x.mean(axes, keepdims=True)
    deviation = jax.lax.rsqrt((centred**2).mean(axes, keepdims=True) + EPSILON)
    return centred * deviation * layer["scale"] + layer["shift"]


def drop_out(x: Float[Array, "..."], rate: float, key: PRNGKeyArray | None) -> Float[Array, "..."]:
    """Return x; in training a share of it is set to 0, and the rest is scaled up accordingly."""
    if key is None or not rate:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)


def dtype_of(theta: PyTree[Array]) -> jnp.dtype:
    """Return θ's dtype, which is that of the computation: float64 in tests of derivatives."""
    return jnp.result_type(*jax.tree.leaves(theta))
