"""Random scaling of the coordinates: a problem whose optimizees come in many scales at once.

    f(θ)  →  f(c ⊙ θ),     c_i = exp(u_i),  u_i ~ U(−r, r),     θ₀ → θ₀ / c

The function has the same values along corresponding paths, but each coordinate's gradient and best
step differ by up to e^{2r}: an optimizer that relies on the scale of one architecture does badly.

Source: Lv, Jiang and Li (2017), "Learning gradient descent: better generalization and longer
horizons"; r = 3 there.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require, require_kind
from metadescent.problems.base import Optimizee, Parts, Problem, Theta


class RescaledFunction(Optimizee):
    """f(c ⊙ θ), started at θ₀ / c."""

    f: Optimizee
    c: Theta

    def init(self, key: PRNGKeyArray) -> Theta:
        return jax.tree.map(jnp.divide, self.f.init(key), self.c)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        return self.f.loss(jax.tree.map(jnp.multiply, self.c, theta), key)


class Rescaled(Problem):
    """Another problem, each of its optimizees with random scales of its own: f(c ⊙ θ).

    Arguments:
        problem: p(f).
        r: log c is uniform in [−r, r].

    Raises:
        UserError: if r is negative.

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> f = Rescaled(Quadratic(dimension=4), r=1.0).sample(jax.random.key(0))
        >>> f.c.shape, bool((abs(jnp.log(f.c)) <= 1.0).all())
        ((4,), True)
    """

    problem: Problem
    r: float = eqx.field(static=True, default=3.0)

    def __check_init__(self) -> None:
        require_kind("problem", self.problem, Problem, "a metadescent.Problem; try Quadratic()")
        require("r", self.r, 0.0)

    def sample(self, key: PRNGKeyArray) -> RescaledFunction:
        f_key, c_key = jax.random.split(key)
        f = self.problem.sample(f_key)
        # Only the shapes and dtypes of θ are used, and they do not depend on the key.
        leaves, treedef = jax.tree.flatten(jax.eval_shape(f.init, c_key))
        keys = jax.random.split(c_key, len(leaves))
        scales = [
            jnp.exp(jax.random.uniform(k, x.shape, x.dtype, -self.r, self.r))
            for k, x in zip(keys, leaves, strict=True)
        ]
        return RescaledFunction(f, treedef.unflatten(scales))

    @property
    def num_tasks(self) -> int | None:
        return self.problem.num_tasks

    @property
    def at_once(self) -> int | None:
        return self.problem.at_once

    def hold_out(self, share: float) -> Parts:
        parts = self.problem.hold_out(share)
        return Parts(*(dataclasses.replace(self, problem=part) for part in parts))
