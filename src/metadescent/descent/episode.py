"""The beginning of runs: the optimizees, θ₀ and minibatches that a key stands for."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from metadescent._checks import check_key
from metadescent._errors import require, require_kind
from metadescent.descent.unrolling import AnyOptimizer, Trajectory, start
from metadescent.problems.base import Problem, Theta
from metadescent.problems.batch import Batch


class Keys(NamedTuple):
    """The keys of one episode."""

    f: PRNGKeyArray
    theta: PRNGKeyArray  # of θ₀
    minibatch: PRNGKeyArray
    coordinates: PRNGKeyArray  # of the sample that a meta-gradient may be estimated from


def keys_of(key: PRNGKeyArray) -> Keys:
    """Return the keys of the episode that `key` stands for."""
    return Keys(*jax.random.split(key, len(Keys._fields)))


def check_problem(problem: object) -> None:
    """Raise a UserError unless this is a problem."""
    hint = "a metadescent.Problem; try metadescent.FromFunction(loss, init)"
    require_kind("problem", problem, Problem, hint)


def draw(problem: Problem, key: PRNGKeyArray, num_problems: int) -> tuple[Batch, Keys]:
    """Return the `num_problems` optimizees that `key` stands for, and all keys derived from it."""
    check_problem(problem)
    require("the number of problems", num_problems, 1)
    check_key(key)
    keys = keys_of(key)
    # f is drawn anew in each truncated segment, so that it need not be carried to the next.
    return Batch.sample(problem, keys.f, num_problems), keys


class Drawn(NamedTuple):
    """What a key stands for: optimizees, their θ₀, and the key of their minibatches."""

    fs: Batch
    theta: Theta
    minibatch: PRNGKeyArray


def draw_all(problem: Problem, key: PRNGKeyArray, num_problems: int) -> Drawn:
    """Draw optimizees and their θ₀ in a program of its own.

    The programs of all optimizers then share it: a compiler takes several times as long to compile
    the draws as to compile the run of a small optimizee.
    """
    arrays = jax.tree.leaves(problem)

    def as_it_was(leaf: Any) -> Any:
        return arrays[leaf.number] if isinstance(leaf, _Leaf) else leaf

    return jax.tree.map(as_it_was, _draw_all(problem, key, num_problems))


@dataclass(frozen=True)
class _Leaf:
    """Stands for an array that an optimizee has from its problem, by its number there."""

    number: int


@eqx.filter_jit
def _draw_all(problem: Problem, key: PRNGKeyArray, num_problems: int) -> Drawn:
    fs, keys = draw(problem, key, num_problems)
    # What a program returns is a copy, which a dataset is too large for.
    leaves = enumerate(jax.tree.leaves(problem))
    numbers = {id(leaf): _Leaf(number) for number, leaf in leaves if eqx.is_array(leaf)}
    drawn = Drawn(fs, fs.init(keys.theta), keys.minibatch)
    return jax.tree.map(lambda leaf: numbers.get(id(leaf), leaf), drawn)


def start_batch(
    m: AnyOptimizer, problem: Problem, key: PRNGKeyArray, num_problems: int
) -> Trajectory:
    """Return the trajectory at t = 0 of the `num_problems` optimizees that `key` stands for.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        problem: p(f).
        key: draws f, θ₀ and minibatches, here and in `meta_loss`.
        num_problems: B, the leading axis of every leaf of θ and h.

    Raises:
        UserError: if `num_problems` is less than 1, or an argument is of another kind.

    Source: section 3.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from metadescent.problems.from_function import FromFunction
        >>> problem = FromFunction(lambda theta, key: theta @ theta, lambda key: jnp.ones(3))
        >>> begin = start_batch(optax.sgd(0.1), problem, jax.random.key(0), 5)
        >>> begin.theta.shape, int(begin.step)
        ((5, 3), 0)
    """
    fs, keys = draw(problem, key, num_problems)
    return start(m, fs, keys.theta)
