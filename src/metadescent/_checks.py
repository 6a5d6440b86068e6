"""Checks of what public functions are given, and of what a user's own functions return.

They run while JAX traces, and look at kinds, shapes and dtypes only. So they cost nothing in a
compiled program.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from metadescent._errors import UserError
from metadescent._text import short


def check_theta(theta: Any, source: str) -> None:
    """Raise a UserError unless θ is a pytree of floating-point arrays."""
    leaves = jax.tree_util.tree_leaves_with_path(theta)
    if not leaves:
        raise UserError(f"{source} returns no arrays; try jnp.zeros(3)")
    if not any(getattr(leaf, "size", 1) for _, leaf in leaves):
        raise UserError(f"θ as {source} returns it has no coordinates; try jnp.zeros(3)")
    for where, leaf in leaves:
        # A leaf that is not an array, such as a float in a list, is called by its type.
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        if not (hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)):
            name = jax.tree_util.keystr(where)
            raise UserError(
                f"θ{name} as {source} returns it is {dtype} and must be floating-point; "
                "try jnp.float32"
            )


def check_value(value: Any, source: str) -> None:
    """Raise a UserError unless a loss is one floating-point number."""
    single = hasattr(value, "dtype") and hasattr(value, "shape")
    if not (single and value.shape == () and jnp.issubdtype(value.dtype, jnp.floating)):
        what = f"{value.dtype}{list(value.shape)}" if single else type(value).__name__
        raise UserError(
            f"{source} returns {what} and must return a floating-point scalar; try jnp.mean"
        )


def check_key(key: Any) -> None:
    """Raise a UserError unless `key` is a single key of JAX, of the new kind or the old."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    # `jax.random.key` makes keys of the new kind, `jax.random.PRNGKey` of the old.
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not (new or (dtype == jnp.uint32 and shape == (2,))):
        # An integer was most likely meant as a seed.
        seed = key if isinstance(key, int) else 0
        raise UserError(f"key is {short(key)} and must be a key of JAX; try jax.random.key({seed})")


def check_weights(weights: Array, num_steps: int) -> None:
    """Raise a UserError unless there is one w_t for each step."""
    if jnp.shape(weights) != (num_steps,):
        raise UserError(
            f"weights have the shape {jnp.shape(weights)} and must have ({num_steps},), one a step"
        )


def check_rule(m: Any) -> None:
    """Raise a UserError unless m is an optimizer."""
    # Optax's optimizers are named tuples, so m is recognized by what it has.
    if not (hasattr(m, "init") and hasattr(m, "update")):
        raise UserError(
            f"m is {short(m)} and must be a learned optimizer or one of Optax's; "
            "try metadescent.load('mnist-lstm') or optax.adam(1e-3)"
        )
