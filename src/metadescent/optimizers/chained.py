"""Coordinatewise rules one behind the other, as in `optax.chain`.

g = m_k(… m_2(m_1(∇)) …),     φ = (φ_1, …, φ_k)

The chain is a coordinatewise rule itself, so whatever works with one works with it.
"""

from collections.abc import Sequence

from jaxtyping import Array, Float, PyTree

from metadescent.errors import UserError
from metadescent.optimizer import Coordinatewise, LearnedOptimizer


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
                    f"{type(rule).__name__} is not coordinatewise and cannot be in a chain; "
                    "chain it with optax.chain, which serves for use but not for training"
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
