"""The logarithm of a problem's functions: progress counted in ratios.

    f(θ)  →  log(f(θ) + ε),     ε = 10⁻⁴

Bringing a loss from 0.02 to 0.01 then counts as much as bringing it from 2 to 1. Late steps
therefore count as much as early ones, and problems side by side count equally. f must not be
negative.

Source: Wichrowska et al. (2017), "Learned optimizers that scale and generalize", take the logarithm
in the meta-loss.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require_kind
from metadescent.problems.base import Optimizee, Parts, Problem, Theta

EPSILON = 1e-4


class LogFunction(Optimizee):
    """log(f(θ) + ε)."""

    f: Optimizee

    def init(self, key: PRNGKeyArray) -> Theta:
        return self.f.init(key)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        # The gradient is f's divided by f + ε, so a rule that ignores its scale moves as before.
        return jnp.log(self.f.loss(theta, key) + EPSILON)


class Logarithm(Problem):
    """Another problem, with log(f + 10⁻⁴) in place of each of its functions f ≥ 0.

    The minimum stays at the same θ.

    Example:
        >>> import jax
        >>> from metadescent.problems.convex import Convex
        >>> Logarithm(Convex(dimension=3)).sample(jax.random.key(0)).f.a.shape
        (3,)
    """

    problem: Problem

    def __check_init__(self) -> None:
        require_kind("problem", self.problem, Problem, "a metadescent.Problem; try Quadratic()")

    def sample(self, key: PRNGKeyArray) -> LogFunction:
        return LogFunction(self.problem.sample(key))

    @property
    def num_tasks(self) -> int | None:
        return self.problem.num_tasks

    @property
    def at_once(self) -> int | None:
        return self.problem.at_once

    def hold_out(self, share: float) -> Parts:
        parts = self.problem.hold_out(share)
        return Parts(*(dataclasses.replace(self, problem=part) for part in parts))
