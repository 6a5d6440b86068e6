"""What `blend` knows of a tensor: figures that it keeps, and x, which its network looks at.

All entries of x are ratios of means over a tensor, so that the scale of f is not among them:

    1–2    how a gradient agrees with the mean of those before it, itself averaged with 0.9 and 0.99
    3–4    how large the means of ∇ are beside ∇: how much of it is noise
    5      how ∇² grows
    6–7    how θ has grown, and how large it is
    8, 9   whether there are several axes, and n
    10     what time it is
    11     ℓ
    12     in how much of the tensor ∇ is
    13     L
    14     k/n
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.blend_constants import FAINT, FAST, SLOW, TINY

Shapes = list[tuple[int, ...]]
Tensors = Float[Array, " tensors"]


class Means(NamedTuple):
    """Of each tensor in one step, over its coordinates."""

    # ∇², ∇ m_.9 and m_.9² as it was, m_.9² and m_.99² as they are, |∇|.
    square: Tensors
    along: Tensors
    before: Tensors
    fast: Tensors
    slow: Tensors
    absolute: Tensors


class Figures(NamedTuple):
    """Of each tensor, kept: the columns of h's array of figures, in this order."""

    agrees_fast: Tensors
    agrees_slow: Tensors
    # Means of mean ∇².
    square_fast: Tensors
    square_slow: Tensors
    # ℓ, and the size of θ₀.
    length: Tensors
    start: Tensors
    # A mean of mean |∇| ÷ √mean ∇²: 1 where all coordinates have gradients alike.
    flat: Tensors


def renewed(figures: Figures, means: Means) -> Figures:
    """Return the figures after a step, ℓ as it was."""
    # One root after the other: the product of the squares may be too small for the dtype.
    root = jax.lax.rsqrt(means.square + TINY)
    agrees = means.along * root * jax.lax.rsqrt(means.before + TINY)
    return Figures(
        FAST * figures.agrees_fast + (1 - FAST) * agrees,
        SLOW * figures.agrees_slow + (1 - SLOW) * agrees,
        FAST * figures.square_fast + (1 - FAST) * means.square,
        SLOW * figures.square_slow + (1 - SLOW) * means.square,
        figures.length,
        figures.start,
        SLOW * figures.flat + (1 - SLOW) * means.absolute * root,
    )


def strength(figures: Figures, means: Means, weight: Array) -> Tensors:
    """Return s, given 1 − β^t of m_.9."""
    share = means.fast / weight**2 / (figures.square_fast / weight + TINY)
    return jnp.minimum(jnp.sqrt(share + TINY) / FAINT, 1.0)


def network_inputs(
    figures: Figures,
    means: Means,
    size: Tensors,
    shapes: Shapes,
    clock: Float[Array, ""],
    weights: tuple[Array, Array],
) -> Float[Array, "tensors features"]:
    """Return x.

    Arguments:
        figures: of this step.
        means: of this step.
        size: of θ.
        shapes: of θ.
        clock: what time it is.
        weights: 1 − β^t of m_.9 and m_.99.
    """
    fast, slow = weights
    square = figures.square_slow / slow + TINY
    rows = [
        figures.agrees_fast,
        figures.agrees_slow / slow,
        0.5 * jnp.log10(means.fast / fast**2 / square + 1e-6),
        0.5 * jnp.log10(means.slow / slow**2 / square + 1e-6),
        0.5 * jnp.log10((figures.square_fast / fast + TINY) / square),
        jnp.log10(size / figures.start),
        jnp.log10(size),
        jnp.asarray([float(len(shape) > 1) for shape in shapes], size.dtype),
        jnp.log10(widths(shapes, size.dtype)) - 1,
        jnp.full(len(shapes), clock),
        figures.length,
        figures.flat / slow - 0.7,
        jnp.full(len(shapes), math.log10(depth(shapes)), size.dtype),
        aspects(shapes, size.dtype) / 4,
    ]
    return jnp.stack(rows, 1)


def _sides(shapes: Shapes) -> list[tuple[int, int]]:
    """Return k and n of each tensor."""
    sides = [(math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (1, 1) for shape in shapes]
    return [(max(1, min(pair)), max(1, *pair)) for pair in sides]


def widths(shapes: Shapes, dtype: Any) -> Tensors:
    """Return n."""
    return jnp.asarray([n for _, n in _sides(shapes)], dtype)


def aspects(shapes: Shapes, dtype: Any) -> Tensors:
    """Return log(k/n)."""
    return jnp.asarray([math.log(k / n) for k, n in _sides(shapes)], dtype)


def depth(shapes: Shapes) -> int:
    """Return L, at least 1."""
    return max(1, sum(len(shape) > 1 for shape in shapes))
