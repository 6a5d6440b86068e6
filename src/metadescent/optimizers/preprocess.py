"""Appendix A: the gradient in a form that suits a network.

∇ → (log|∇| / p, sgn ∇)   if |∇| ≥ e^−p
(−1,          e^p ∇)   otherwise
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def log_and_sign(gradient: Float[Array, "*shape"], p: float = 10.0) -> Float[Array, "2 *shape"]:
    """Split a gradient into the logarithm of its magnitude and its sign, both continuous in ∇."""
    magnitude = jnp.abs(gradient)
    threshold = jnp.exp(jnp.asarray(-p, gradient.dtype))
    # The maximum keeps log finite on the branch not taken, where `where` would still see its NaN.
    logarithm = jnp.log(jnp.maximum(magnitude, threshold)) / p
    sign = jnp.clip(gradient / threshold, -1.0, 1.0)
    return jnp.stack([logarithm, sign])
