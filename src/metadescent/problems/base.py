"""f and p(f): what is optimized, and the distribution that it is drawn from.

an `Optimizee` is one function f(θ), perhaps estimated on minibatches;
a `Problem` is the distribution p(f) over which an optimizer is meta-trained.
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
        UserError: if a field is a NumPy array of which JAX would lose some.

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
        UserError: if a field is a NumPy array of which JAX would lose some.

    Source: section 2, the distribution behind E_f.
    """

    def __check_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Optimizee:
        """Draw one f. A function of the key alone: the same key always gives the same f."""

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> Optimizee:
        """Draw the f of a number, from 0 on, in a batch: `sample`, whatever the number.

        A problem over a set that is gone through in turn, rather than drawn from, has its own.
        """
        del number
        f = self.sample(key)
        hint = "a metadescent.Optimizee; try metadescent.FromFunction(loss, init)"
        require_kind(f"what {type(self).__name__}.sample returns", f, Optimizee, hint)
        return f

    def hold_out(self, share: float) -> "Parts":
        """Return this problem in parts, for which a share of its tasks is held out: all in each.

        A problem over a set of tasks, rather than an unlimited supply, has parts of its own.
        """
        del share
        return Parts(self, self, self)

    @property
    def num_tasks(self) -> int | None:
        """Return how many tasks there are, or None for as many as anyone draws."""
        return None

    @property
    def at_once(self) -> int | None:
        """Return how many optimizations to run side by side, or None for all of them.

        Large ones are quicker in parts, which fit a processor's cache, and take less memory.
        """
        return None


class Parts(NamedTuple):
    """A problem in three: one to learn from, one to choose φ by, and one to judge the choice on."""

    learned_from: Problem
    validated_on: Problem
    judged_on: Problem


class Named(NamedTuple):
    """A problem that the command line knows by name."""

    # Reads data where it must; the problem's options are its keywords.
    make: Callable[..., Problem]
    # Where meta-training on the problem differs from the defaults of `metadescent.runs.recipe`.
    recipe: Mapping[str, Any]
    summary: str
