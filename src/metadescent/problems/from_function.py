"""A problem made from a function f(θ, key) and an initialiser; with data, a family of functions.

    FromFunction(loss, init)                      f(θ) = loss(θ, key)
    FromFunction(loss, init, data)                f(θ) = loss(θ, key, entry), drawn for each f
    FromFunction(loss, init, data, batch_size=B)  f(θ) = loss(θ, key, batch), drawn at each step

Data is any pytree of arrays, with one entry along the first axis for each f or for each example.
Data should be given here, because arrays that a function closes over become constants of every
compiled program.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._checks import check_theta, check_value
from metadescent._errors import UserError, require
from metadescent.problems.arrays import as_arrays, check_constants
from metadescent.problems.base import Optimizee, Parts, Problem, Theta

FEWEST = 16
"""The fewest entries of a part: results on fewer would say too little."""


class Function(Optimizee):
    """One f of a `FromFunction`: the two functions, and the data of this f."""

    of: Callable[..., Array] = eqx.field(static=True)
    start: Callable[[PRNGKeyArray], Theta] = eqx.field(static=True)
    data: PyTree[Array] = None
    batch_size: int | None = eqx.field(static=True, default=None)

    def init(self, key: PRNGKeyArray) -> Theta:
        return self.start(key)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        return self.of(theta, *self.arguments(key))

    def arguments(self, key: PRNGKeyArray) -> tuple[Any, ...]:
        """Return the function's arguments after θ: a key and, if there is data, entries of it."""
        if self.data is None:
            return (key,)
        if self.batch_size is None:
            return key, self.data
        # The draw has a key of its own, so that randomness in the loss does not depend on it.
        key, draw = jax.random.split(key)
        chosen = jax.random.randint(draw, (self.batch_size,), 0, entries(self.data))
        return key, jax.tree.map(lambda x: x[chosen], self.data)


class FromFunction(Problem):
    """The problem of minimizing a given function: loss(θ, key), or loss(θ, key, entry).

    Arguments:
        loss: loss(θ, key), or with data loss(θ, key, entry): a scalar that JAX can differentiate.
            `key` is for randomness in the loss; most functions ignore it.
        init: init(key) → θ₀, any pytree of floating-point arrays, of one shape for every f.
        data: a pytree of arrays whose first axes are all N long. Each f draws one entry of it.
        batch_size: entries in a minibatch. If given, the data is one set of examples that every f
            shares, and each evaluation of f draws a minibatch of them, with replacement.

    Raises:
        UserError: if the functions do not take these arguments, if f(θ₀) is not a floating-point
            scalar, if θ₀ is not floating-point arrays, if the data's first axes differ in length,
            or if the data is not numbers. Also if JAX's 32 bits would turn a value of the data, or
            of an array that the functions read from elsewhere, into another value or infinity, or
            make different values equal. Mere rounding is not an error.

    Example:
        Fit a thousand straight lines, each through five points of its own:

        >>> import jax, jax.numpy as jnp
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 1000, 5))
        >>> def loss(theta, key, points):
        ...     x, y = points
        ...     return jnp.mean((theta[0] + theta[1] * x - y) ** 2)
        >>> lines = FromFunction(loss, lambda key: jax.random.normal(key, (2,)), (x, y))
        >>> f = lines.sample(jax.random.key(1))
        >>> f.loss(f.init(jax.random.key(2)), jax.random.key(3)).shape
        ()
    """

    f: Function

    def __init__(
        self,
        loss: Callable[..., Array],
        init: Callable[[PRNGKeyArray], Theta],
        data: PyTree = None,
        *,
        batch_size: int | None = None,
    ):
        if batch_size is not None:
            require("batch_size", batch_size, 1)
            if data is None:
                raise UserError(
                    f"batch_size is {batch_size} and there is no data; give the data that "
                    "minibatches are drawn from"
                )
        if data is not None:
            data = as_arrays(data, "data")
            entries(data)
        self.f = Function(loss, init, data, batch_size)
        _check(self)

    def sample(self, key: PRNGKeyArray) -> Function:
        """Draw f's entry of the data; with minibatches, or without data, f is always the same."""
        if self._is_one:
            return self.f
        i = jax.random.randint(key, (), 0, entries(self.f.data))
        return dataclasses.replace(self.f, data=jax.tree.map(lambda x: x[i], self.f.data))

    def hold_out(self, share: float) -> Parts:
        """Return parts of the problem that have separate entries, if it has enough of them.

        One half of the share that is held out is to validate on, and the other is to judge on. If a
        half would have fewer than `FEWEST` entries, every part has all entries, because training
        needs all of a few tasks.
        """
        if self._is_one:
            return super().hold_out(share)
        n = entries(self.f.data)
        half = round(share * n) // 2
        if half < FEWEST:
            return super().hold_out(share)
        # The permutation is the same in each run, and mixes entries that are sorted.
        order = np.random.default_rng(0).permutation(n)
        return Parts(*map(self._of, (order[2 * half :], order[:half], order[half : 2 * half])))

    @property
    def num_tasks(self) -> int | None:
        return None if self._is_one else entries(self.f.data)

    @property
    def _is_one(self) -> bool:
        """Tell whether all f are the same except for their minibatches."""
        return self.f.data is None or self.f.batch_size is not None

    def _of(self, chosen: Int[np.ndarray, " entries"]) -> "FromFunction":
        data = jax.tree.map(lambda x: x[np.sort(chosen)], self.f.data)
        return eqx.tree_at(lambda problem: problem.f.data, self, data)


def entries(data: PyTree[Array]) -> int:
    """Return how many entries data has along its first axes, which must all be of one length."""
    lengths = sorted({leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(data)})
    if len(lengths) != 1 or lengths == [0]:
        counts = " and ".join(map(str, lengths)) or "no"
        raise UserError(
            f"the leaves of the data have {counts} entries along their first axes and must all "
            "have the same number, 1 or more; try jax.tree.map(jnp.shape, data)"
        )
    return lengths[0]


def _check(problem: FromFunction) -> None:
    """Refuse functions that no optimizer could be trained on; nothing is computed."""
    f, key = problem.f, jax.random.key(0)
    # The name that the error's sentence gives to the third argument.
    data = () if f.data is None else ("entry",) if f.batch_size is None else ("batch",)
    _check_call(f.start, "init", ("key",))
    _check_call(f.of, "loss", ("theta", "key", *data))
    theta = jax.eval_shape(f.start, key)
    check_theta(theta, "init")
    # The problem is an argument, as in training, so its data is not closed over.
    value = jax.eval_shape(
        lambda problem, theta: f.of(theta, *problem.sample(key).arguments(key)), problem, theta
    )
    check_value(value, "loss")
    # This check traces with 64 bits. It is last, so that JAX has cached traces with 32 bits first.
    check_constants(lambda key: f.of(f.start(key), *problem.sample(key).arguments(key)), key)


def _check_call(function: Callable[..., Any], name: str, arguments: tuple[str, ...]) -> None:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} is called as {name}({', '.join(arguments)}) and cannot be: {error}; "
            f"try def {name}({', '.join(arguments)})"
        ) from error
