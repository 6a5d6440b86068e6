"""Where runs begin: the optimizees, θ₀ and minibatches that a key stands for."""

from typing import NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from metadescent._checks import check_key
from metadescent._errors import require, require_kind
from metadescent.descent.unrolling import AnyOptimizer, Trajectory, start
from metadescent.problems.base import Problem
from metadescent.problems.batch import Batch


class Keys(NamedTuple):
    """The keys of one episode: of f, θ₀, the minibatches and the sample of coordinates.

    Example:
        >>> import optax
        >>> from metadescent.problems.from_function import FromFunction
        >>> problem = FromFunction(lambda theta, key: theta**2, jax.random.uniform)
        >>> sgd, key = optax.sgd(0.1), jax.random.key(0)
        >>> fs, keys = draw(problem, key, 2)
        >>> bool((fs.init(keys.theta) == start_batch(sgd, problem, key, 2).theta).all())
        True
    """

    f: PRNGKeyArray
    theta: PRNGKeyArray
    minibatch: PRNGKeyArray
    coordinates: PRNGKeyArray


def check_problem(problem: object) -> None:
    """Raise a `UserError` if this is no problem.

    Example:
        >>> check_problem("quadratic")
        Traceback (most recent call last):
        metadescent.UserError: problem is 'quadratic' and must be a metadescent.Problem; ...
    """
    hint = "a metadescent.Problem; try metadescent.FromFunction(loss, init)"
    require_kind("problem", problem, Problem, hint)


def draw(problem: Problem, key: PRNGKeyArray, num_problems: int) -> tuple[Batch, Keys]:
    """Return the `num_problems` optimizees that `key` stands for, and all keys derived from it.

    The key *is* the optimizees: they are drawn again in each truncated segment, so what is carried
    between segments is (θ, h, t) and no copy of f.

    Raises:
        UserError: if these are no problem and no key, or there is none to draw.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> one, same, other = (draw(Quadratic(), jax.random.key(n), 2)[0] for n in (0, 0, 1))
        >>> bool(eqx.tree_equal(one, same)), bool(eqx.tree_equal(one, other))
        (True, False)
    """
    check_problem(problem)
    require("the number of problems", num_problems, 1)
    check_key(key)
    keys = Keys(*jax.random.split(key, 4))
    return Batch.sample(problem, keys.f, num_problems), keys


def start_batch(
    m: AnyOptimizer, problem: Problem, key: PRNGKeyArray, num_problems: int
) -> Trajectory:
    """Return the trajectory at t = 0 of the `num_problems` optimizees that `key` stands for.

    Example:
        >>> import optax
        >>> from metadescent.problems.from_function import FromFunction
        >>> problem = FromFunction(lambda theta, key: theta @ theta, lambda key: jnp.ones(3))
        >>> begin = start_batch(optax.sgd(0.1), problem, jax.random.key(0), 5)
        >>> begin.theta.shape, int(begin.step)
        ((5, 3), 0)
    """
    fs, keys = draw(problem, key, num_problems)
    return start(m, fs, keys.theta)
