"""f and p(f): the function that is optimized, and the distribution that it is drawn from.

An `Optimizee` is one function f(θ), perhaps estimated on minibatches.
A `Problem` is the distribution p(f) over which an optimizer is meta-trained.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._errors import require_kind
from metadescent.problems.arrays import check_fields

Theta = PyTree[Array]


class Optimizee(eqx.Module):
    """One function f to minimize.

    Everything f needs (a matrix, a dataset) is held in its fields, so that f is a pytree and passes
    through `jax.jit` and `jax.vmap` like any other argument.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> class Bowl(Optimizee):
        ...     centre: jax.Array
        ...     def init(self, key):
        ...         return jnp.zeros_like(self.centre)
        ...     def loss(self, theta, key):
        ...         return jnp.sum((theta - self.centre) ** 2)
        >>> f, key = Bowl(jnp.asarray([3.0, 4.0])), jax.random.key(0)
        >>> float(f.loss(f.init(key), key))
        25.0

    Raises:
        UserError: if a field is a NumPy array whose values would be lost in JAX's dtypes.

    Source: section 1, f(θ); section 3.2 for minibatches.
    """

    def __check_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw θ₀, a pytree of floating-point arrays."""

    @abstractmethod
    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        """Evaluate f(θ), a scalar; `key` draws the minibatch where f is stochastic."""


class Problem(eqx.Module):
    """A distribution p(f) of optimizees.

    Example:
        >>> import jax
        >>> from metadescent.problems.convex import Bowl
        >>> class Bowls(Problem):
        ...     dimension: int = 2
        ...     def sample(self, key):
        ...         return Bowl(jax.random.normal(key, (self.dimension,)))
        >>> a, again, b = (Bowls().sample(jax.random.key(seed)).a for seed in (0, 0, 1))
        >>> bool((a == again).all()), bool((a == b).any())
        (True, False)

    Raises:
        UserError: if a field is a NumPy array whose values would be lost in JAX's dtypes.

    Source: section 2, the distribution behind E_f.
    """

    def __check_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Optimizee:
        """Draw one f, which depends on the key alone: the same key always gives the same f."""

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> Optimizee:
        """Draw the f with this number in a batch, from 0 on; by default the number is ignored.

        A problem that goes through a set in turn, instead of drawing from it, overrides this.
        """
        del number
        f = self.sample(key)
        hint = "a metadescent.Optimizee; try metadescent.FromFunction(loss, init)"
        require_kind(f"what {type(self).__name__}.sample returns", f, Optimizee, hint)
        return f

    def hold_out(self, share: float) -> "Parts":
        """Split this problem and hold out a share of its tasks; by default each part has them all.

        A problem with a finite set of tasks overrides this.
        """
        del share
        return Parts(self, self, self)

    @property
    def num_tasks(self) -> int | None:
        """Return how many tasks there are, or None if their number has no limit."""
        return None

    @property
    def at_once(self) -> int | None:
        """Return how many optimizations to run side by side, or None for all of them.

        Large problems are faster a few at a time, because these fit a processor's cache. They also
        take less memory.
        """
        return None


class Parts(NamedTuple):
    """Three parts of a problem: one to learn from, one to choose φ by, and one to judge φ on."""

    learned_from: Problem
    validated_on: Problem
    judged_on: Problem


class Named(NamedTuple):
    """A problem that the command line knows by name."""

    # Returns the problem, and may read data; its keywords are the problem's options.
    make: Callable[..., Problem]
    # The settings that differ from the defaults of `metadescent.runs.recipe`.
    recipe: Mapping[str, Any]
    summary: str
