"""The nearest matrix with orthogonal rows, block by block.

    X ↦ (X Xᵀ)^(−1/2) X,     row block by row block of at most b rows

for a matrix X with no more rows than columns, or else its transpose. Singular values become 1: a
direction in which the gradients are small steps as far as one in which they are large. The root is
a polynomial of X Xᵀ, five times one of fifth degree, after which singular values are within 0.7 and
1.2 and those that were 0 remain so. Of n rows, blocks of b cost b/n of what the whole would.

Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks", its
coefficients; Björck and Bowie (1971) for the iteration.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.blend_constants import COEFFICIENTS, ITERATIONS, ROWS, TINY


def whiten(x: Float[Array, "*shape"], rows: int = ROWS) -> Float[Array, "*shape"]:
    """Return blocks of x with singular values of about 1.

    Arguments:
        x: an array; all axes but the last count as one. One of less than two axes is a row.
        rows: b.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = whiten(jax.random.normal(jax.random.key(0), (4, 9)))
        >>> bool((abs(jnp.linalg.svd(x, compute_uv=False) - 1) < 0.35).all())
        True
    """
    if not x.size:
        return x
    matrix = x.reshape(-1, x.shape[-1] if x.ndim else 1)
    n, m = matrix.shape
    is_wide = n <= m
    count = math.ceil(min(n, m) / rows)
    # Blocks as even as can be, the last one filled up with rows of 0, which stay 0.
    height = math.ceil(min(n, m) / count)
    missing = (0, count * height - min(n, m))
    matrix = jnp.pad(matrix, (missing, (0, 0)) if is_wide else ((0, 0), missing))
    # Of a tall matrix they are columns, as to turn one costs as much as to multiply it.
    blocks = jnp.split(matrix, count, 0 if is_wide else 1)
    gram = jnp.stack([block @ block.T if is_wide else block.T @ block for block in blocks])
    trace = jnp.trace(gram, axis1=1, axis2=2)[:, None, None]
    # Below, products are denormal and too coarse: the polynomial could grow without end.
    whole = jnp.where(trace > TINY, trace, 1.0)
    roots = _root(gram / whole) / jnp.sqrt(whole)
    pairs = zip(roots, blocks, strict=True)
    white = [root @ block if is_wide else block @ root.T for root, block in pairs]
    return jnp.concatenate(white, 0 if is_wide else 1)[:n, :m].reshape(x.shape)


def _root(gram: Float[Array, "blocks b b"]) -> Float[Array, "blocks b b"]:
    """Return a polynomial Q of A for which Q A Qᵀ is about 1."""
    a, b, c = COEFFICIENTS
    identity = jnp.eye(gram.shape[-1], dtype=gram.dtype)
    root = identity
    for k in range(ITERATIONS):
        factor = a * identity + b * gram + c * (gram @ gram)
        root = factor @ root if k else factor
        if k + 1 < ITERATIONS:
            gram = factor @ gram @ factor
    return root
