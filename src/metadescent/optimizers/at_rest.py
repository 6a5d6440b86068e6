"""Coordinates that stay where they are until something moves them.

    g = m(∇)   where ∇ has ever been other than 0
        0      elsewhere

A learned rule may move a coordinate whose gradient is always 0, because h changes nevertheless.
Adam does not, and padding rows and masked or unused weights rely on that.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from metadescent._errors import require_kind
from metadescent.optimizers.base import LearnedOptimizer, State, Updates
from metadescent.optimizers.sharding import spread_like


class AtRest(LearnedOptimizer):
    """An optimizer that does not move a coordinate whose gradient has always been 0.

    Arguments:
        rule: the optimizer m. Its h changes as m says, also at rest.

    Raises:
        UserError: if `rule` is not a learned optimizer.

    Example:
        >>> import jax.numpy as jnp
        >>> import metadescent
        >>> m = AtRest(metadescent.load("mnist-lstm"))
        >>> gradient = jnp.asarray([1.0, 0.0])
        >>> g, h = m.update(gradient, m.init(gradient))
        >>> bool(g[0] == 0), bool(g[1] == 0)
        (False, True)

    Source: none; optimizers that are not learned do this by themselves.
    """

    rule: LearnedOptimizer

    def __init__(self, rule: LearnedOptimizer):
        require_kind("rule", rule, LearnedOptimizer, "a learned optimizer; try metadescent.load")
        self.rule = rule

    def init(self, params: PyTree) -> State:
        asleep = jnp.zeros((), bool)
        return self.rule.init(params), jax.tree.map(lambda p: spread_like(asleep, p), params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        h, awake = state
        awake = jax.tree.map(lambda gradient, before: before | (gradient != 0), updates, awake)
        g, h = self.rule.update(updates, h, params, **extra_args)
        return jax.tree.map(_unless_asleep, g, awake), (h, awake)

    def threshold(self) -> float:
        return self.rule.threshold()

    def over_batch(self) -> "AtRest":
        return AtRest(self.rule.over_batch())


def _unless_asleep(g: Array, awake: Array) -> Array:
    return jnp.where(awake, g, jnp.zeros_like(g))
