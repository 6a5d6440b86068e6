"""The nearest matrix with orthogonal rows, block by block.

    X ↦ (X Xᵀ)^(−1/2) X,     row block by row block of at most b rows

for a matrix X with no more rows than columns, or else for its transpose. Singular values become 1:
steps are as long in directions in which gradients are small as in those in which they are large.
The root is a polynomial of X Xᵀ, in five iterations of a polynomial of fifth degree. Singular
values are then within 0.7 and 1.2, and those that were 0 remain 0. With n rows, blocks of b rows
cost b/n of the cost of the whole.

Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks", for the
coefficients; Björck and Bowie (1971) for the iteration.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.blend_constants import COEFFICIENTS, ITERATIONS, ROWS, TINY


def whiten(x: Float[Array, "*shape"], rows: int = ROWS) -> Float[Array, "*shape"]:
    """Return blocks of x with singular values of about 1.

    Arguments:
        x: an array; all axes but the last count as one. With less than two axes it is a row.
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
    # Blocks are as even as possible, and the last is filled up with rows of 0, which stay 0.
    height = math.ceil(min(n, m) / count)
    missing = (0, count * height - min(n, m))
    matrix = jnp.pad(matrix, (missing, (0, 0)) if is_wide else ((0, 0), missing))
    # A tall matrix is split into columns, because turning it costs as much as multiplying it.
    blocks = jnp.split(matrix, count, 0 if is_wide else 1)
    gram = jnp.stack([block @ block.T if is_wide else block.T @ block for block in blocks])
    trace = jnp.trace(gram, axis1=1, axis2=2)[:, None, None]
    # Below this, products are denormal and too coarse: the polynomial could grow without end.
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
