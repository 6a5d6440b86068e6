"""Entries of a matrix from features of rows and columns: y_ij ≈ u_i · v_j, perhaps + a_i + b_j.

Y. Koren, R. Bell and C. Volinsky, "Matrix factorization techniques for recommender systems", 2009.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from metadescent.bench.models.layers import Plan, ToDraw
from metadescent.bench.models.supervised import Network


class Factorised(Network):
    """The entries at given places; most rows of θ are not in a minibatch's gradient."""

    shape: tuple[int, int]
    rank: int
    has_biases: bool = False

    def plan(self) -> Plan:
        # With this, u · v begins with the variance 0.01.
        std = (0.1 / self.rank**0.5) ** 0.5
        rows, columns = self.shape
        factors = {
            "rows": ToDraw((rows, self.rank), std),
            "columns": ToDraw((columns, self.rank), std),
        }
        if not self.has_biases:
            return factors
        return factors | {"row_biases": jnp.zeros(rows), "column_biases": jnp.zeros(columns)}

    def apply(
        self,
        theta: dict[str, Float[Array, "..."]],
        x: Integer[Array, "batch 2"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, " batch"]:
        del key
        i, j = x.T
        y = (theta["rows"][i] * theta["columns"][j]).sum(-1)
        if self.has_biases:
            y = y + theta["row_biases"][i] + theta["column_biases"][j]
        return y
