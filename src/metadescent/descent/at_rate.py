"""A hand-designed optimizer whose rate is an array: one compiled program serves all its rates."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


class AtRate(eqx.Module):
    """`make(rate, horizon)`, an Optax transformation that is made anew wherever it is traced."""

    make: Callable[[Any, Any], optax.GradientTransformation] = eqx.field(static=True)
    # An array from a float is weakly typed, so that θ in half precision keeps its dtype.
    rate: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    # T, the time over which a rate may decay; without an end the rate stays.
    horizon: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=math.inf)

    def init(self, params: PyTree) -> PyTree:
        """Return the state for parameters θ of this structure."""
        return self.make(self.rate, self.horizon).init(params)

    def update(
        self, updates: PyTree, state: PyTree, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        """Map gradients and state to updates and the next state, as `make(rate, horizon)` does."""
        rule = optax.with_extra_args_support(self.make(self.rate, self.horizon))
        return rule.update(updates, state, params, **extra_args)
