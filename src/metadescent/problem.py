"""f and p(f): what is optimized, and the distribution that it is drawn from.

    an `Optimizee` is one function f(θ), perhaps estimated on minibatches;
    a `Problem` is the distribution p(f) over which an optimizer is meta-trained.

A new problem is one new file in `metadescent/problems`: a `Problem`, the `Optimizee` that it draws
and, if the command line should know it by name, an entry in the module's `NAMED`.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._checks import check_theta, check_value
from metadescent._errors import require_kind

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

    Source: section 1, f(θ); section 3.2 for minibatches.
    """

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
        >>> one, same, other = (Bowls().sample(jax.random.key(seed)).a for seed in (0, 0, 1))
        >>> bool((one == same).all()), bool((one == other).any())
        (True, False)

    Source: section 2, the distribution behind E_f.
    """

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Optimizee:
        """Draw one f. A function of the key alone: the same key always gives the same f."""

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> Optimizee:
        """Draw the f of a number, from 0 on, in a batch: `sample`, whatever the number.

        A problem over a set that is gone through in turn, rather than drawn from, has its own.

        Raises:
            UserError: if `sample` returns something else.
        """
        del number
        f = self.sample(key)
        hint = "a metadescent.Optimizee; try metadescent.FromFunction(loss, init)"
        require_kind(f"what {type(self).__name__}.sample returns", f, Optimizee, hint)
        return f

    @property
    def at_once(self) -> int | None:
        """Return how many optimizations to run side by side where nothing else counts; None: all.

        Large ones are quicker in parts, which fit a processor's cache, and take less memory.
        """
        return None


class Named(NamedTuple):
    """A problem that the command line knows by name.

    `make` builds it, reading data where it must, and takes the problem's options as keywords;
    `recipe` lists where meta-training on it differs from the defaults of `metadescent.recipe`.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> named = Named(Quadratic, {"steps": 50}, "random quadratics")
        >>> named.make(dimension=3).dimension, named.recipe["steps"]
        (3, 50)
    """

    make: Callable[..., Problem]
    recipe: Mapping[str, Any]
    summary: str


class Place(eqx.Module):
    """Which of several equal parts of a batch this is.

    Example:
        The third of four parts, of two optimizees each:

        >>> numbers(2, Place(jnp.asarray(2), parts=4)).tolist()
        [4, 5]
    """

    index: Int[Array, ""]
    parts: int = eqx.field(static=True)


class Part(Problem):
    """p(f), from which a batch is drawn in several equal parts, each in another place.

    Whoever draws `size` optimizees from it gets those numbered index · size and up of the batch of
    parts · size that the same key stands for: the parts together are the batch, so what is computed
    does not depend on how many there are.

    Example:
        >>> import jax.numpy as jnp
        >>> from metadescent.problems.quadratic import Quadratic
        >>> key, part = jax.random.key(0), Part(Quadratic(), Place(jnp.asarray(1), parts=2))
        >>> second, both = Batch.sample(part, key, 2), Batch.sample(Quadratic(), key, 4)
        >>> bool((second.init(key) == both.init(key)[2:]).all())
        True
    """

    whole: Problem
    place: Place

    def sample(self, key: PRNGKeyArray) -> Optimizee:
        """Draw one f, as the whole does."""
        return self.whole.sample(key)


def split(key: PRNGKeyArray, size: int, place: Place | None = None) -> Array:
    """Return a key for each of `size` optimizees: all of a batch, or those of one part of it.

    Example:
        >>> import jax.numpy as jnp
        >>> key, second = jax.random.key(0), Place(jnp.asarray(1), 2)
        >>> bool((split(key, 2, second) == split(key, 4)[2:]).all())
        True
    """
    if place is None:
        return jax.random.split(key, size)
    keys = jax.random.split(key, size * place.parts)
    return jax.lax.dynamic_slice_in_dim(keys, place.index * size, size)


def numbers(size: int, place: Place | None = None) -> Int[Array, " size"]:
    """Return the number of each of `size` optimizees: all of a batch, or those of one part of it.

    Example:
        >>> import jax.numpy as jnp
        >>> numbers(3, Place(jnp.asarray(2), parts=4)).tolist()
        [6, 7, 8]
    """
    first = 0 if place is None else place.index * size
    return first + jnp.arange(size)


def located(problem: Problem) -> tuple[Problem, Place | None]:
    """Return the problem to draw from, and the part of a batch to draw; None for all of it.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> second = Place(jnp.asarray(1), parts=2)
        >>> problem, place = located(Part(Quadratic(dimension=3), second))
        >>> problem.dimension, place is second, located(problem)[1]
        (3, True, None)
    """
    if isinstance(problem, Part):
        return problem.whole, problem.place
    return problem, None


class Batch(Optimizee):
    """B optimizees side by side, as one: F(θ¹, …, θᴮ) = (f₁(θ¹), …, f_B(θᴮ)).

    θ has the leaves of the single θ's with a leading axis of length B, and `loss` returns all B
    values, each of which depends on its own slice of θ only. What `sample` hands through untouched
    from the problem, such as a dataset, is shared and never copied B times.

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> fs = Batch.sample(Quadratic(dimension=3), jax.random.key(0), size=5)
        >>> theta = fs.init(jax.random.key(1))
        >>> theta.shape, fs.loss(theta, jax.random.key(2)).shape
        ((5, 3), (5,))
    """

    own: PyTree
    shared: PyTree
    size: int = eqx.field(static=True)
    place: Place | None = None

    @classmethod
    def sample(cls, problem: Problem, key: PRNGKeyArray, size: int) -> "Batch":
        """Draw `size` optimizees of a problem."""
        problem, place = located(problem)
        keys = split(key, size, place)
        untouched = {id(leaf) for leaf in jax.tree.leaves(problem)}

        def is_own(leaf: Any) -> bool:
            return eqx.is_array(leaf) and id(leaf) not in untouched

        counted = numbers(size, place)
        first = problem.numbered(keys[0], counted[0])
        _, shared = eqx.partition(first, is_own)

        def draw(key: PRNGKeyArray, number: Int[Array, ""]) -> PyTree:
            return eqx.partition(problem.numbered(key, number), is_own)[0]

        own = jax.vmap(draw)(keys, counted)
        return cls(own, shared, size, place)

    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw every θ₀; leaves have shape (B, …)."""
        keys = split(key, self.size, self.place)

        def one(own: PyTree, key: PRNGKeyArray) -> Theta:
            f = eqx.combine(own, self.shared)
            theta = f.init(key)
            check_theta(theta, f"{type(f).__name__}.init")
            return theta

        return jax.vmap(one)(self.own, keys)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, " B"]:
        """Evaluate every f at its own θ, on its own minibatch."""
        keys = split(key, self.size, self.place)

        def one(own: PyTree, theta: Theta, key: PRNGKeyArray) -> Float[Array, ""]:
            f = eqx.combine(own, self.shared)
            found = f.loss(theta, key)
            check_value(found, f"{type(f).__name__}.loss")
            return found

        return jax.vmap(one)(self.own, theta, keys)
