"""The update of `blend`, fused: what `blend.cc` computes, as a JAX function.

All float32; it cannot be differentiated.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent._ffi import kernels
from metadescent.optimizers.blend_constants import (
    BY_ASPECT,
    BY_DEPTH,
    CEILING,
    COEFFICIENTS,
    FAINT,
    FARTHEST,
    FAST,
    ITERATIONS,
    ROWS,
    SLOW,
    SQUARE,
    TINY,
)
from metadescent.optimizers.blend_figures import Shapes, aspects, depth, widths

Number = Float[Array, ""] | float


class Tensors(NamedTuple):
    """Of each tensor m_.9, m_.99 and v."""

    fast: list[Array]
    slow: list[Array]
    square: list[Array]


class Moment(NamedTuple):
    """What is particular to a step."""

    # 1 − β^t of the three means, what time it is, c and κ.
    weight_fast: Number
    weight_slow: Number
    weight_square: Number
    clock: Number
    factor: Number
    kappa: Number


def blend_update(
    phi: Sequence[Array],
    moment: Moment,
    shapes: Shapes,
    gradients: list[Array],
    thetas: list[Array],
    h: Tensors,
    figures: Float[Array, "tensors figures"],
) -> tuple[list[Array], Tensors, Array]:
    """Return g, h and the figures after, given φ as (p, W₁, b₁, W₂, b₂) and the shapes of θ."""
    count, first = len(shapes), 3 + len(phi)
    leaves = [*h.fast, *h.slow, *h.square]
    results = [figures, *gradients, *leaves]
    call = jax.ffi.ffi_call(
        kernels()["blend_update"],
        [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in results],
        # h is renewed where it lies.
        input_output_aliases={
            first - 1: 0,
            **{first + 2 * count + i: 1 + count + i for i in range(3 * count)},
        },
        # Under `vmap` all arrays get an axis in front, which the kernel goes along.
        vmap_method="broadcast_all",
    )
    numbers = _numbers(moment, depth(shapes))
    traits = _traits(shapes)
    figures, *rest = call(numbers, *phi, traits, figures, *gradients, *thetas, *leaves)
    g, *after = (list(rest[k * count : (k + 1) * count]) for k in range(4))
    return g, Tensors(*after), figures


def _numbers(moment: Moment, matrices: int) -> Float[Array, " numbers"]:
    """Return the numbers of a step, in the order of `Numbers` in `blend_network.h`."""
    means = [x for beta in (FAST, SLOW, SQUARE) for x in (beta, 1 - beta)]
    bounds = (FARTHEST, CEILING, FAINT, TINY, math.log(matrices), BY_DEPTH, BY_ASPECT)
    rest = (*COEFFICIENTS, ITERATIONS, ROWS)
    return jnp.stack([jnp.asarray(x, jnp.float32) for x in (*means, *moment, *bounds, *rest)])


def _traits(shapes: Shapes) -> Float[Array, "tensors 4"]:
    """Return of each tensor whether it has several axes, log₁₀ n, log(k/n) and n."""
    is_matrix = jnp.asarray([float(len(shape) > 1) for shape in shapes], jnp.float32)
    n = widths(shapes, jnp.float32)
    return jnp.stack([is_matrix, jnp.log10(n), aspects(shapes, jnp.float32), n], 1)
