"""Steps as long as θ is: each tensor's update in proportion to the tensor.

g = e^{p_0} · s/√(1 + s²/c²) · u/√(mean u²),     s = √(mean θ² + e^{2 p_1})

with means over the tensor's coordinates.

Behind another rule (`>>`) it keeps the direction of that rule's steps, and sets their length
relative to θ. If normalization follows, f depends on the direction of a weight alone, and a step of
a thirtieth of θ turns it by as much at any size of θ. φ has the logarithms of the rate and of a
floor, the size of tensors that begin at 0, such as biases. The ceiling c ends growth: if long steps
always lead outward, θ grows by e^{p_0} c a step at most, and not by a part of itself.

Source: You, Gitman and Ginsburg (2017), "Large batch training of convolutional networks" (LARS).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.optimizers.base import LearnedOptimizer, State, Updates


class Relative(LearnedOptimizer):
    """Updates scaled to a learned part of θ, tensor by tensor.

    Arguments:
        rate: e^{p_0} before training, the length of a step relative to θ.
        floor: e^{p_1} before training.
        ceiling: c.
        key: draws the deviations of the first φ from these, N(0, 0.01²).

    Raises:
        UserError: on use, if θ is not given.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> m = Relative(rate=0.1, floor=1e-6, key=jax.random.key(0))
        >>> m = eqx.tree_at(lambda m: m.p, m, jnp.log(jnp.asarray([0.1, 1e-6])))
        >>> theta, u = jnp.full(4, 2.0), jnp.asarray([1.0, -1.0, 1.0, 1.0])
        >>> m.update(u, m.init(theta), theta)[0].round(2).tolist()
        [0.2, -0.2, 0.2, 0.2]
    """

    p: Float[Array, "2"]
    ceiling: float = eqx.field(static=True)

    def __init__(
        self, rate: float = 0.03, floor: float = 0.1, ceiling: float = 10.0, *, key: PRNGKeyArray
    ):
        require("rate", rate, 1e-12)
        require("floor", floor, 1e-12)
        require("ceiling", ceiling, 1e-12)
        self.ceiling = ceiling
        self.p = jnp.log(jnp.asarray([rate, floor])) + 0.01 * jax.random.normal(key, (2,))

    def init(self, params: PyTree) -> State:
        return ()

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        if params is None:
            raise UserError("relative measures steps by θ and was given none; pass params")
        return jax.tree.map(self._leaf, updates, params), state

    def _leaf(self, update: Array, theta: Array) -> Array:
        u, x = jnp.asarray(update).astype(self.p.dtype), jnp.asarray(theta).astype(self.p.dtype)
        # A tensor without coordinates has no mean.
        if u.size == 0:
            return update
        rate, floor = jnp.exp(self.p)
        # u is divided by its largest entry first, so that no square is out of the dtype's range.
        largest = jax.lax.stop_gradient(jnp.max(jnp.abs(u)))
        u = u / jnp.where(largest > 0, largest, 1.0)
        size = jnp.sqrt(jnp.mean(x * x) + floor**2)
        size = size * jax.lax.rsqrt(1 + (size / self.ceiling) ** 2)
        square = jnp.mean(u * u)
        g = rate * size * u * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))
        return g.astype(jnp.result_type(update))


NAMED = {"relative": Relative}
