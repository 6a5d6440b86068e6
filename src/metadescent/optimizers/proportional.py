"""Longer steps for larger tensors: each tensor's update times a power of its size.

g = e^{p_0} · (s/0.03)^{p_2} · u,     s = min(√(mean θ² + e^{2 p_1}), c)

with the mean over the tensor's coordinates.

Wide layers have small weights and need short steps, because the changes of their many inputs add
up. A rule that sees one coordinate's gradients does not see the width of a layer. This rule stands
behind such a rule (`>>`). Unlike `relative` it keeps the length of that rule's steps, as a factor.
φ has the logarithm of the rate, the logarithm of a floor, and the power. The floor is the size of
tensors that begin at 0, such as biases. The ceiling c is for tensors that are large by design, such
as normalization's scales.

Source: steps in proportion to each tensor's size are from Metz et al. (2022), "VeLO". Yang et al.
(2022), "Tensor programs V", show why wide layers need a power of it: for width n weights are in
proportion to n^(−1/2) and Adam's best rates to n^(−1), a power of 2.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.optimizers.base import LearnedOptimizer, State, Updates

# The size at which updates stay as they are, except for e^{p_0}. It is about that of weights with
# 784 inputs: 0.021 if they are drawn from U(±1/√n), and 0.036 from N(0, 1/n).
SIZE = 0.03


class Proportional(LearnedOptimizer):
    """Updates scaled by a learned power of θ's size, tensor by tensor.

    Arguments:
        rate: e^{p_0} before training.
        floor: e^{p_1} before training.
        power: p_2 before training, from 0 to 4.
        ceiling: c.
        key: draws the deviations of the first φ from these, N(0, 0.01²).

    Raises:
        UserError: on use, if θ is not given.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> m = Proportional(key=jax.random.key(0))
        >>> m = eqx.tree_at(lambda m: m.p, m, jnp.asarray([0.0, -20.0, 1.0]))
        >>> theta, u = jnp.full(2, 0.06), jnp.asarray([1.0, -3.0])
        >>> m.update(u, m.init(theta), theta)[0].round(2).tolist()
        [2.0, -6.0]
    """

    p: Float[Array, "3"]
    ceiling: float = eqx.field(static=True)

    def __init__(
        self,
        rate: float = 1.0,
        floor: float = 0.03,
        power: float = 1.0,
        ceiling: float = 0.3,
        *,
        key: PRNGKeyArray,
    ):
        require("rate", rate, 1e-12)
        require("floor", floor, 1e-12)
        require("power", power, 0.0, 4.0)
        require("ceiling", ceiling, 1e-12)
        self.ceiling = ceiling
        middle = jnp.asarray([jnp.log(rate), jnp.log(floor), power])
        self.p = middle + 0.01 * jax.random.normal(key, (3,))

    def init(self, params: PyTree) -> State:
        return ()

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        if params is None:
            raise UserError("proportional measures steps by θ and was given none; pass params")
        return jax.tree.map(self._leaf, updates, params), state

    def _leaf(self, update: Array, theta: Array) -> Array:
        u, x = jnp.asarray(update).astype(self.p.dtype), jnp.asarray(theta).astype(self.p.dtype)
        # A tensor without coordinates has no mean.
        if u.size == 0:
            return update
        rate, floor, power = self.p
        # A tensor of zeros has a size too, or no step would ever leave it.
        size = jnp.minimum(jnp.sqrt(jnp.mean(x * x) + jnp.exp(2 * floor)), self.ceiling)
        g = jnp.exp(rate + power * jnp.log(size / SIZE)) * u
        return g.astype(jnp.result_type(update))


NAMED = {"proportional": Proportional}
