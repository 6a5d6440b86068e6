"""Rules in a chain, as in `optax.chain`.

g = m_k(… m_2(m_1(∇)) …),     φ = (φ_1, …, φ_k)

Source: `optax.chain`, for learned rules.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Array, Float, PyTree

from metadescent._errors import UserError
from metadescent.optimizers.base import (
    Coordinatewise,
    Elementwise,
    LearnedOptimizer,
    State,
    Updates,
)


def chain(rules: Sequence[LearnedOptimizer]) -> "Chained | InTurn":
    """Return a chain of rules, which is a coordinatewise rule if all of them are.

    The first of `rules` is given ∇. A UserError is raised if there is no rule, or one is not a
    learned optimizer.

    Example:
        >>> import jax
        >>> from metadescent.optimizers import LSTM, Pace, Relative
        >>> a, b, c = (make(key=jax.random.key(0)) for make in (LSTM, Pace, Relative))
        >>> type(chain([a, b])).__name__, type(chain([a, c])).__name__
        ('Chained', 'InTurn')
    """
    alike = all(isinstance(rule, Coordinatewise) for rule in rules)
    return Chained(rules) if alike else InTurn(rules)


class InTurn(LearnedOptimizer):
    """Rules of any kind in a chain: each is given the last one's updates, and all are given θ.

    The first of `rules` is given ∇. A UserError is raised if there is no rule, or one is not a
    learned optimizer.

    Example:
        >>> import jax
        >>> from metadescent.registry import make_optimizer
        >>> m = make_optimizer("lstm(layers=(4,)) >> relative", jax.random.key(0))
        >>> type(m).__name__, [type(rule).__name__ for rule in m.rules]
        ('InTurn', ['LSTM', 'Relative'])
    """

    rules: tuple[LearnedOptimizer, ...]
    takes_complex: ClassVar[bool] = True  # each rule decides

    def __init__(self, rules: Sequence[LearnedOptimizer]):
        if not rules:
            raise UserError("the chain is empty; give one rule or more")
        for rule in rules:
            if not isinstance(rule, LearnedOptimizer):
                raise UserError(
                    f"a rule of the chain is {type(rule).__name__} and must be a learned "
                    "optimizer; try optax.chain"
                )
        self.rules = tuple(rules)

    def init(self, params: PyTree) -> State:
        return tuple(rule.init(params) for rule in self.rules)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        after = []
        for rule, h in zip(self.rules, state, strict=True):
            updates, h = rule.update(updates, h, params, **extra_args)
            after.append(h)
        return updates, tuple(after)

    def threshold(self) -> float:
        # Only the first rule sees gradients.
        return self.rules[0].threshold()

    def over_batch(self) -> "InTurn":
        return InTurn([rule.over_batch() for rule in self.rules])


class Chained(Elementwise):
    """Coordinatewise rules in a chain: each is given the updates of the one before it.

    The first of `rules` is given ∇. A UserError is raised if there is no rule, or one is not
    coordinatewise.

    Example:
        >>> import jax
        >>> from metadescent.registry import make_optimizer
        >>> m = make_optimizer("lstm(layers=(4,)) >> pace", jax.random.key(0))
        >>> type(m).__name__, [type(rule).__name__ for rule in m.rules]
        ('Chained', ['LSTM', 'Pace'])
    """

    rules: tuple[Coordinatewise, ...]

    def __init__(self, rules: Sequence[LearnedOptimizer]):
        if not rules:
            raise UserError("the chain is empty; give one rule or more")
        links = tuple(rule for rule in rules if isinstance(rule, Coordinatewise))
        for rule in rules:
            if not isinstance(rule, Coordinatewise):
                raise UserError(
                    f"{type(rule).__name__} is not coordinatewise and cannot be in such a chain; "
                    "use metadescent.optimizers.chain"
                )
        self.rules = links

    def init_coordinate(self) -> PyTree[Array]:
        return tuple(rule.init_coordinate() for rule in self.rules)

    def update_array(
        self, gradient: Float[Array, "*n"], state: PyTree[Array]
    ) -> tuple[Float[Array, "*n"], PyTree[Array]]:
        g, after = gradient, []
        for rule, h in zip(self.rules, state, strict=True):
            g, h = rule.update_array(g, h)
            after.append(h)
        return g, tuple(after)
