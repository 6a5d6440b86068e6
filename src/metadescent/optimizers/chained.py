"""Rules one behind the other, as in `optax.chain`.

g = m_k(… m_2(m_1(∇)) …),     φ = (φ_1, …, φ_k)

A chain of coordinatewise rules is a coordinatewise rule itself, so whatever works with one works
with it. `chain` makes the one or the other.

Source: `optax.chain`, for learned rules.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float, PyTree

from metadescent._errors import UserError
from metadescent.optimizers.base import Coordinatewise, LearnedOptimizer, State, Updates


def chain(rules: Sequence[LearnedOptimizer]) -> "Chained | InTurn":
    """Return rules one behind the other, as a coordinatewise rule if all of them are.

    Example:
        >>> import jax
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.optimizers.pace import Pace
        >>> from metadescent.optimizers.relative import Relative
        >>> a, b, c = (make(key=jax.random.key(0)) for make in (LSTM, Pace, Relative))
        >>> type(chain([a, b])).__name__, type(chain([a, c])).__name__
        ('Chained', 'InTurn')
    """
    alike = all(isinstance(rule, Coordinatewise) for rule in rules)
    return Chained(rules) if alike else InTurn(rules)


class InTurn(LearnedOptimizer):
    """Rules of any kind, of which each is fed what the one before it returns; all are given θ.

    Arguments:
        rules: at least one; the first is fed ∇.

    Raises:
        UserError: if there is no rule, or one is not learned.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.optimizers.relative import Relative
        >>> a, b = (Relative(rate=rate, key=jax.random.key(0)) for rate in (0.1, 0.2))
        >>> m, theta = InTurn([a, b]), jnp.ones(3)
        >>> last, _ = b.update(theta, b.init(theta), theta)
        >>> bool(jnp.allclose(m.update(theta, m.init(theta), theta)[0], last))
        True
    """

    rules: tuple[LearnedOptimizer, ...]

    def __init__(self, rules: Sequence[LearnedOptimizer]):
        """Keep the rules in order."""
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
        """Return h₀ of every rule."""
        return tuple(rule.init(params) for rule in self.rules)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        """Send updates through all rules."""
        after = []
        for rule, h in zip(self.rules, state, strict=True):
            updates, h = rule.update(updates, h, params, **extra_args)
            after.append(h)
        return updates, tuple(after)

    def threshold(self) -> float:
        """Return the first rule's."""
        return self.rules[0].threshold()

    def over_batch(self) -> "InTurn":
        """Return the chain of what each rule is for a batch."""
        return InTurn([rule.over_batch() for rule in self.rules])


class Chained(Coordinatewise):
    """Rules of which each is fed what the one before it returns.

    Arguments:
        rules: coordinatewise rules, at least one; the first is fed ∇.

    Raises:
        UserError: if there is no rule, or one is not coordinatewise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.optimizers.pace import Pace
        >>> lstm = LSTM((4,), key=jax.random.key(0))
        >>> pace = Pace(key=jax.random.key(1))
        >>> m, ones = Chained([lstm, pace]), jnp.ones(3)
        >>> g, _ = lstm.update(ones, lstm.init(ones))
        >>> g, _ = pace.update(g, pace.init(g))
        >>> bool(jnp.allclose(m.update(ones, m.init(ones))[0], g))
        True
    """

    rules: tuple[Coordinatewise, ...]

    def __init__(self, rules: Sequence[LearnedOptimizer]):
        """Keep the rules in order."""
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
        """Return h₀ of every rule."""
        return tuple(rule.init_coordinate() for rule in self.rules)

    def update_coordinates(
        self, gradient: Float[Array, " n"], state: PyTree[Array]
    ) -> tuple[Float[Array, " n"], PyTree[Array]]:
        """Send n coordinates through all rules."""
        return self.update_array(gradient, state)

    def update_array(
        self, gradient: Float[Array, "*n"], state: PyTree[Array]
    ) -> tuple[Float[Array, "*n"], PyTree[Array]]:
        g, after = gradient, []
        for rule, h in zip(self.rules, state, strict=True):
            g, h = rule.update_array(g, h)
            after.append(h)
        return g, tuple(after)
