"""Rules whose coordinates communicate (appendix D): the base that they share.

All coordinates of all leaves of θ are one row of n coordinates, in θ's order, so it makes no
difference how θ is split into leaves. In a `Batch` each optimizee has a row of its own. The parts
of problems side by side (`a + b`) are one θ, and do communicate.
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
    """One rule for the row of all coordinates, defined by a subclass; h is the state of the row."""

    @abstractmethod
    def init_row(self, n: int) -> PyTree[Array]:
        """Return h₀ of a row of n coordinates."""

    @abstractmethod
    def update_row(
        self, gradient: Float[Array, " n"], state: PyTree[Array]
    ) -> tuple[Float[Array, " n"], PyTree[Array]]:
        """Map ∇ and h of all coordinates to their g and next h."""

    def init(self, params: PyTree) -> State:
        n = sum(jnp.size(leaf) for leaf in jax.tree.leaves(params))
        return rows_like(self.init_row(n), params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        del params, extra_args
        # The row is in φ's dtype, as h is; updates are returned in the gradient's dtype.
        dtype = phi_dtype(self)
        row, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.asarray(x).astype(dtype), updates))
        g, state = self.update_row(row, state)
        return jax.tree.map(lambda y, x: y.astype(jnp.result_type(x)), unravel(g), updates), state
