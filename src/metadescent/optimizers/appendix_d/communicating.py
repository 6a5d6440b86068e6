"""Rules whose coordinates communicate (appendix D): the base that they share.

All coordinates of all leaves of θ are one row of n coordinates, in θ's order. What a rule of this
kind computes for a coordinate may depend on all of them, so it knows nothing of leaves: splitting θ
otherwise changes nothing. In a `Batch` each optimizee has a row of its own; the parts of problems
side by side (`a + b`) are one θ, and do communicate.
"""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from metadescent.optimizers.base import LearnedOptimizer, State, Updates, phi_dtype
from metadescent.optimizers.sharding import rows_like


class Communicating(LearnedOptimizer):
    """One rule for the row of all coordinates.

    A subclass says what happens to a row; `init` and `update` make one of θ. The state is the row's
    and does not have θ's structure. It is kept, and the arithmetic done, in φ's dtype; updates come
    back in the gradient's.

    Example:
        >>> class Mean(Communicating):
        ...     rate: jax.Array
        ...     def init_row(self, n):
        ...         return ()
        ...     def update_row(self, gradient, state):
        ...         return jnp.full_like(gradient, -self.rate * gradient.mean()), state
        >>> m, gradient = Mean(jnp.asarray(0.5)), {"w": jnp.ones((1, 2)), "b": jnp.full(2, 3.0)}
        >>> m.update(gradient, m.init(gradient))[0]["w"].tolist()
        [[-1.0, -1.0]]
    """

    @abstractmethod
    def init_row(self, n: int) -> PyTree[Array]:
        """Return h₀ of a row of n coordinates."""

    @abstractmethod
    def update_row(
        self, gradient: Float[Array, " n"], state: PyTree[Array]
    ) -> tuple[Float[Array, " n"], PyTree[Array]]:
        """Map ∇ and h of all coordinates to their g and next h."""

    def init(self, params: PyTree) -> State:
        """Return h₀ for the coordinates of θ."""
        n = sum(jnp.size(leaf) for leaf in jax.tree.leaves(params))
        return rows_like(self.init_row(n), params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        """Apply the rule to the row of all coordinates of all leaves."""
        del params, extra_args
        dtype = phi_dtype(self)
        row, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.asarray(x).astype(dtype), updates))
        g, state = self.update_row(row, state)
        return jax.tree.map(lambda y, x: y.astype(jnp.result_type(x)), unravel(g), updates), state
