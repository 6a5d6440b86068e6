"""Short steps at first: a factor that grows to 1, over a number of steps that is learned.

g_t = min((1 + t) e^{−p}, 1) · ∇_t

Behind another rule (`>>`) this shortens its first steps: moments of few gradients are poor, and a
rule that was learned on small networks makes steps that are too long for a large one. φ is p, the
logarithm of the number of steps after which that rule's steps are kept as they are.

Source: a gradual warm-up is from Goyal et al. (2017), "Accurate, large minibatch SGD"; why Adam's
moments need one from Liu et al. (2020), "On the variance of the adaptive learning rate and beyond".
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.optimizers.of_time import OfTime


class WarmUp(OfTime):
    """A factor that grows in proportion to the step, until it is 1.

    Arguments:
        steps: e^p before training: the step, counted from 1, whose factor is the first to be 1.
        key: draws the deviation of the first φ from that, N(0, 0.01²).

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> m = eqx.tree_at(lambda m: m.p, WarmUp(key=jax.random.key(0)), jnp.log(jnp.full(1, 2.5)))
        >>> m.factor(jnp.arange(4.0)).tolist()
        [0.4, 0.8, 1.0, 1.0]
    """

    def __init__(self, steps: float = 20.0, *, key: PRNGKeyArray):
        require("steps", steps, 1e-6)
        # p is a logarithm, because the number itself would have to stay positive.
        self.p = jnp.log(steps) + 0.01 * jax.random.normal(key, (1,))

    def factor(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jnp.minimum((1 + t) * jnp.exp(-self.p[0]), 1.0)


NAMED = {"warm-up": WarmUp}
