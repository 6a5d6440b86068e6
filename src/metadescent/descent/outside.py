"""One trial of code from outside the package before anything is computed: f, ∇f and a step.

A trial is traced with shapes alone, so that no large arrays are allocated.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from metadescent._errors import UserError
from metadescent.descent.episode import draw
from metadescent.descent.unrolling import exact, rule_for, start
from metadescent.optimizers.base import Coordinatewise, LearnedOptimizer
from metadescent.problems.arrays import check_constants
from metadescent.problems.base import Problem


def modules_in(tree: Any) -> list[eqx.Module]:
    """Return all modules in a tree, the outer ones first."""
    inner = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, eqx.Module) and x is not tree)
    inner = [
        part for x in inner if isinstance(x, eqx.Module) and x is not tree for part in modules_in(x)
    ]
    return [tree, *inner]


def functions_of(part: eqx.Module) -> list[Callable[..., Any]]:
    """Return the functions, and whatever else can be called, in the fields of a module."""
    return [leaf for leaf in jax.tree.leaves(list(vars(part).values())) if callable(leaf)]


def outsiders(tree: Any) -> Iterator[Any]:
    """Yield the classes and functions of a tree that are not the package's."""
    for part in modules_in(tree):
        for code in (type(part), *functions_of(part)):
            # A method of an object, or a partial function, counts as its class does.
            name = getattr(code, "__module__", None) or type(code).__module__
            if name.partition(".")[0] not in ("metadescent", "equinox", "jax", "optax"):
                yield code


def try_problem(problem: Problem, name: str) -> None:
    """Raise a UserError if the functions of a problem do not work, or have no gradient."""

    def once(problem: Problem, key: PRNGKeyArray, evaluate: Callable[..., Any]) -> Any:
        fs, keys = draw(problem, key, 1)
        return evaluate(fs, fs.init(keys.theta), key)

    _tried(name, "does not work", once, problem, lambda fs, theta, key: fs.loss(theta, key))
    _tried(name, "has no gradient by jax.grad", once, problem, exact)


def try_rule(m: LearnedOptimizer, problem: Problem) -> None:
    """Raise a UserError if a rule from outside makes no step of θ's own shape on a problem."""
    for kind in {code for code in outsiders(m) if isinstance(code, type)}:
        name = f"{getattr(inspect.getmodule(kind), '__file__', kind.__module__)}:{kind.__name__}"
        # A coordinatewise rule is tried on one row of coordinates, which decides for any θ.
        if issubclass(kind, Coordinatewise):
            for part in (part for part in modules_in(m) if type(part) is kind):
                _check_same(f"{name}.update_coordinates", _tried(name, _WRONG, _one_row, part))
        else:
            _check_same(f"{name}.update", _tried(name, _WRONG, _one_step, problem, m))


_WRONG = "does not work"


LOOKED_AT = 8
"""How many f are evaluated before the computation begins."""


def check_start(
    problem: Problem, key: PRNGKeyArray, num_problems: int, *, moves: bool = False
) -> None:
    """Raise a UserError if an f or ∇f is not finite at θ₀ or, with `moves`, all ∇f are 0."""
    if not any(outsiders(problem)):
        return

    def once(key: PRNGKeyArray) -> Array:
        f = problem.sample(key)
        return f.loss(f.init(key), key)

    check_constants(once, key)
    finite, moving = _starts(problem, key, num_problems)
    if not finite:
        raise UserError(NOT_FINITE)
    if moves and not moving:
        raise UserError(FLAT)


NOT_FINITE = (
    "f is not finite at θ₀, or its gradient is not, where no optimizer has done anything; look for "
    "NaN or infinite values in the data, or for a logarithm or root of 0 in f"
)
FLAT = (
    "f has no gradient: ∇f is exactly 0 at each θ₀ that was drawn, so no rate is better than "
    "another; let f depend on θ by operations that have a derivative, or begin at another θ₀"
)


@eqx.filter_jit
def _starts(problem: Problem, key: PRNGKeyArray, num_problems: int) -> tuple[Array, Array]:
    """Tell whether all f and ∇f are finite at θ₀, and whether a coordinate of a ∇f is not 0."""
    fs, keys = draw(problem, key, num_problems)
    losses, gradients = exact(fs, fs.init(keys.theta), keys.minibatch)
    finite = jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves((losses, gradients))]).all()
    return finite, jnp.stack([(x != 0).any() for x in jax.tree.leaves(gradients)]).any()


def _one_row(rule: Coordinatewise, key: PRNGKeyArray) -> PyTree:
    """Return the update and next state of a row of three coordinates, and the row and its state."""
    del key
    row, one = jnp.zeros(3), jax.tree.map(jnp.asarray, rule.init_coordinate())
    state = jax.tree.map(lambda x: jnp.broadcast_to(x[..., None], (*x.shape, 3)), one)
    return rule.update_coordinates(row, state), (row, state)


def _one_step(problem: Problem, key: PRNGKeyArray, m: LearnedOptimizer) -> PyTree:
    """Return g and the next h of one step, and θ and h before it."""
    fs, keys = draw(problem, key, 2)
    theta, state, _ = start(m, fs, keys.theta)
    _, gradient = exact(fs, theta, keys.minibatch)
    return rule_for(m, fs).update(gradient, state, theta), (theta, state)


def _tried(name: str, fault: str, once: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    try:
        return eqx.filter_eval_shape(once, tree, jax.random.key(0), *rest)
    except UserError as error:
        raise error if name in str(error) else UserError(f"{name}: {error}") from error
    except Exception as error:  # A user's code may raise any class.
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{name} {fault}, {type(error).__name__}: {reason}; mend it, --debug shows where"
        ) from error


def _check_same(name: str, tried: tuple[PyTree, PyTree]) -> None:
    after, before = ([_forms(tree) for tree in pair] for pair in tried)
    for what, got, like in zip(("g", "h"), after, before, strict=True):
        # g is added to θ and may have another dtype; h is carried by a loop and may not.
        if [form[what == "g" :] for form in got] != [form[what == "g" :] for form in like]:
            shown, wanted = (" and ".join(f"{d}{list(s)}{p}" for d, s, p in x) for x in (got, like))
            raise UserError(f"{name} returns as {what} {shown}, and must return {wanted}; mend it")


def _forms(tree: PyTree) -> list[tuple[Any, ...]]:
    """Return dtype, shape and path of each leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(str(x.dtype), x.shape, jax.tree_util.keystr(path)) for path, x in leaves]
