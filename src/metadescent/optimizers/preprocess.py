"""Appendix A: the gradient as a network likes to see it.

∇ → (log|∇| / p, sgn ∇)   if |∇| ≥ e^−p
(−1,          e^p ∇)   otherwise
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def log_and_sign(gradient: Float[Array, "*shape"], p: float = 10.0) -> Float[Array, "2 *shape"]:
    """Split a gradient into its magnitude, on a logarithmic scale, and its sign.

    `p` sets how small a gradient must be to be disregarded: below e^−p the magnitude reads −1 and
    the sign fades linearly to 0, so both outputs are continuous in ∇ and finite at 0. The two
    features come first, before the axes of the gradient.

    Source: appendix A; the paper takes p = 10.

    Example:
        >>> import jax.numpy as jnp
        >>> log_and_sign(jnp.asarray(-1.0)).tolist()
        [0.0, -1.0]
        >>> log_and_sign(jnp.asarray(0.0)).tolist()
        [-1.0, 0.0]
    """
    magnitude = jnp.abs(gradient)
    threshold = jnp.exp(jnp.asarray(-p, gradient.dtype))
    # The maximum keeps log finite on the branch not taken, where `where` would still see its NaN.
    logarithm = jnp.log(jnp.maximum(magnitude, threshold)) / p
    sign = jnp.clip(gradient / threshold, -1.0, 1.0)
    return jnp.stack([logarithm, sign])
