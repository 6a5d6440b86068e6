"""Leaves of a pytree by name."""

from typing import Any

import jax


def path_of(keys: tuple[Any, ...]) -> str:
    """Return the path that JAX has for a leaf as one text; "value" for a tree that is a leaf.

    Example:
        >>> tree = {"conv": [{"w": 0.0}]}
        >>> [path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(tree)]
        ['conv/0/w']
    """
    return jax.tree_util.keystr(keys, simple=True, separator="/") or "value"
