"""Pytrees of arrays: their leaves by name, and whether all numbers are finite."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def path_of(keys: tuple[Any, ...]) -> str:
    """Return the path that JAX has for a leaf as one text; "value" for a tree that is a leaf."""
    return jax.tree_util.keystr(keys, simple=True, separator="/") or "value"


def is_finite(tree: PyTree) -> bool:
    """Tell whether all floating-point numbers of a pytree are finite."""
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)
