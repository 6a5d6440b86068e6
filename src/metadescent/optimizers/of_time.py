"""The base of `Pace` and `WarmUp`, factors that depend on the number of the step alone.

g_t = c(t; p) · ∇_t,     t = 0, 1, …
"""

from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.base import Elementwise


class OfTime(Elementwise):
    """A factor that depends on the step alone; φ is a row p."""

    p: Float[Array, " parameters"]

    @abstractmethod
    def factor(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return c(t; p)."""

    def init_coordinate(self) -> Float[Array, ""]:
        return jnp.zeros((), self.p.dtype)

    def update_array(
        self, gradient: Float[Array, "*n"], state: Float[Array, "*n"]
    ) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
        return self.factor(state) * gradient, state + 1
