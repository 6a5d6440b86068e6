"""A learned factor on the length of steps, which depends on time alone.

g_t = e^{p(t/T)} · ∇_t

p is piecewise linear with corners at 0, 1/K, …, 1, and constant after T steps:

p(s) = p_0 + Σ_k p_k · min(max(Ks − k + 1, 0), 1),     k = 1 … K,     φ = (p_0, …, p_K)

Behind another rule (`>>`) it lengthens and shortens that rule's steps over a run of about T steps.
Short steps at the end settle what long steps left undecided. With batch normalization weights grow,
so that steps of one length turn them less and less. The benefit shows in `pes`, through whole runs,
and not in short unrolls.

Source: Li and Arora (2020), "An exponential learning rate schedule for deep learning", who show
that normalization makes growing rates natural.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.optimizers.of_time import OfTime


class Pace(OfTime):
    """A factor that depends on the step alone; close to 1 or to 1 − t/T before it is trained.

    Arguments:
        horizon: T, in steps.
        corners: K + 1, at least two.
        linear: begin with 1 − t/T, a usual schedule, instead of 1. The factor equals it at all
            corners but the last, where it is e⁻¹ of the factor at the corner before, not 0.
        key: draws the deviations of the first φ from that, N(0, 0.01²).

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> m = Pace(horizon=2.0, corners=2, key=jax.random.key(0))
        >>> m = eqx.tree_at(lambda m: m.p, m, jnp.log(jnp.array([1.0, 4.0])))
        >>> m.factor(jnp.arange(4.0)).tolist()
        [1.0, 2.0, 4.0, 4.0]
    """

    horizon: float = eqx.field(static=True)

    def __init__(
        self, horizon: float = 1000.0, corners: int = 6, linear: bool = False, *, key: PRNGKeyArray
    ):
        require("horizon", horizon, 1e-6)
        require("corners", corners, 2)
        # φ has the changes from corner to corner. A change lasts to the end of a run, where
        # evolution strategies see it; a change of one corner alone would last a moment.
        left = jnp.arange(corners - 1, 0, -1)
        falls = jnp.concatenate([jnp.zeros(1), jnp.log(left[1:] / left[:-1]), -jnp.ones(1)])
        self.horizon = horizon
        self.p = linear * falls + 0.01 * jax.random.normal(key, (corners,))

    @property
    def corners(self) -> int:
        """Return K + 1."""
        return self.p.shape[0]

    def factor(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jnp.exp(self.at(t))

    def at(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return p(t/T)."""
        last = len(self.p) - 1
        place = jnp.minimum(t / self.horizon, 1.0) * last
        # A sum of ramps is computed along rows; a look-up would go coordinate by coordinate.
        ramps = (self.p[k] * jnp.clip(place - (k - 1), 0.0, 1.0) for k in range(1, last + 1))
        return sum(ramps, jnp.zeros_like(place) + self.p[0])


NAMED = {"pace": Pace}
