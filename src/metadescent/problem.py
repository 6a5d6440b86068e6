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
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.errors import UserError, require_kind, short

Theta = PyTree[Array]


class Optimizee(eqx.Module):
    """One function f to minimize.

    Everything f needs (a matrix, a dataset) is held in its fields, so that f is a pytree and passes
    through `jax.jit` and `jax.vmap` like any other argument.
    """

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw θ₀, a pytree of floating-point arrays."""

    @abstractmethod
    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        """Evaluate f(θ), a scalar; `key` draws the minibatch where f is stochastic."""


class Problem(eqx.Module):
    """A distribution p(f) of optimizees."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Optimizee:
        """Draw one f. A function of the key alone: the same key always gives the same f."""


class Named(NamedTuple):
    """A problem that the command line knows by name.

    `make` builds it, reading data where it must, and takes the problem's options as keywords;
    `recipe` lists where meta-training on it differs from the defaults of `metadescent.recipe`.
    """

    make: Callable[..., Problem]
    recipe: Mapping[str, Any]
    summary: str


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

    @classmethod
    def sample(cls, problem: Problem, key: PRNGKeyArray, size: int) -> "Batch":
        """Draw `size` optimizees of a problem."""
        keys = jax.random.split(key, size)
        untouched = {id(leaf) for leaf in jax.tree.leaves(problem)}

        def is_own(leaf: Any) -> bool:
            return eqx.is_array(leaf) and id(leaf) not in untouched

        first = problem.sample(keys[0])
        hint = "a metadescent.Optimizee; try metadescent.FromFunction(loss, init)"
        require_kind(f"what {type(problem).__name__}.sample returns", first, Optimizee, hint)
        _, shared = eqx.partition(first, is_own)
        own = jax.vmap(lambda key: eqx.partition(problem.sample(key), is_own)[0])(keys)
        return cls(own, shared, size)

    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw every θ₀; leaves have shape (B, …)."""
        keys = jax.random.split(key, self.size)

        def one(own: PyTree, key: PRNGKeyArray) -> Theta:
            return initial(eqx.combine(own, self.shared), key)

        return jax.vmap(one)(self.own, keys)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, " B"]:
        """Evaluate every f at its own θ, on its own minibatch."""
        keys = jax.random.split(key, self.size)

        def one(own: PyTree, theta: Theta, key: PRNGKeyArray) -> Float[Array, ""]:
            return value(eqx.combine(own, self.shared), theta, key)

        return jax.vmap(one)(self.own, theta, keys)


def initial(f: Optimizee, key: PRNGKeyArray) -> Theta:
    """Return θ₀ of f; raises a UserError where that is no pytree of floating-point arrays."""
    theta = f.init(key)
    check_theta(theta, f"{type(f).__name__}.init")
    return theta


def value(f: Optimizee, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
    """Return f(θ); raises a UserError where that is no floating-point number, or one each."""
    found = f.loss(theta, key)
    if not isinstance(f, Batch):
        check_value(found, f"{type(f).__name__}.loss")
    return found


def try_out(problem: Problem, name: str) -> None:
    """Raise a UserError where the functions of a problem do not work; nothing is computed."""

    def once(problem: Problem, key: PRNGKeyArray) -> Float[Array, " 1"]:
        fs = Batch.sample(problem, key, 1)
        return fs.loss(fs.init(key), key)

    try:
        eqx.filter_eval_shape(once, problem, jax.random.key(0))
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{name} does not work, {type(error).__name__}: {reason}; mend it, --debug shows where"
        ) from error


def check_theta(theta: Any, source: str) -> None:
    """Raise a UserError unless θ is a pytree of floating-point arrays.

    Example:
        >>> check_theta({"w": jnp.arange(3)}, "init")
        Traceback (most recent call last):
        metadescent.errors.UserError: θ['w'] as init returns it is int32 and must be ...
    """
    leaves = jax.tree_util.tree_leaves_with_path(theta)
    if not leaves:
        raise UserError(f"{source} returns no arrays; try jnp.zeros(3)")
    for where, leaf in leaves:
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        if not (hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)):
            name = jax.tree_util.keystr(where)
            raise UserError(
                f"θ{name} as {source} returns it is {dtype} and must be floating-point; "
                "try jnp.float32"
            )


def check_value(found: Any, source: str) -> None:
    """Raise a UserError unless a loss is one floating-point number.

    Example:
        >>> check_value(jnp.ones(2), "loss")
        Traceback (most recent call last):
        metadescent.errors.UserError: loss returns float32[2] and must return a ...
    """
    single = hasattr(found, "dtype") and hasattr(found, "shape")
    if not (single and found.shape == () and jnp.issubdtype(found.dtype, jnp.floating)):
        what = f"{found.dtype}{list(found.shape)}" if single else type(found).__name__
        raise UserError(
            f"{source} returns {what} and must return a floating-point scalar; try jnp.mean"
        )


def check_key(key: Any) -> None:
    """Raise a UserError unless it is one key of JAX, of the new kind or the old.

    Example:
        >>> check_key(3)
        Traceback (most recent call last):
        metadescent.errors.UserError: key is 3 and must be a key of JAX; try jax.random.key(3)
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not (new or (dtype == jnp.uint32 and shape == (2,))):
        seed = key if isinstance(key, int) else 0
        raise UserError(f"key is {short(key)} and must be a key of JAX; try jax.random.key({seed})")
