"""Names for problems, optimizers and estimators, found by discovery: a new one is one new file.

Every module of `metadescent.problems`, `.optimizers` and `.estimators` may define `NAMED`. Beyond
those names, `module:Class` and `path/to/file.py:Class` name what lives outside the package; there
a problem may also be an instance, or a function that returns one. Any of them takes options the way
Python writes them: `quadratic(dimension=20)`. Problems joined by plus signs are one problem that
has them side by side: `mnist + convex`. So are optimizers that have each leaves of their own:
`conv/* -> lstm + * -> optax.adam(learning_rate=0.001)`.
"""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent import outside
from metadescent._errors import UserError
from metadescent._spec import (
    build,
    call,
    discovered,
    groups_of,
    links,
    look_up,
    parse,
    terms,
)
from metadescent.meta.estimators.base import Estimator
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.chained import chain
from metadescent.optimizers.partitioned import ByHand, Partitioned
from metadescent.problems.base import Named, Problem
from metadescent.problems.batch import Batch
from metadescent.problems.together import Together


def problems() -> dict[str, Named]:
    """Return every problem of the package by name.

    Example:
        >>> "quadratic" in problems()
        True
    """
    return discovered("metadescent.problems")


def optimizers() -> dict[str, type[LearnedOptimizer]]:
    """Return every kind of learned optimizer of the package by name.

    Example:
        >>> optimizers()["lstm"].__name__
        'LSTM'
    """
    return discovered("metadescent.optimizers")


def recipe_of(spec: str) -> dict[str, Any]:
    """Return where meta-training on this problem differs from the default recipe.

    Of several problems side by side, the first one's counts.
    """
    name, _ = parse(terms(spec)[0])
    return dict(problems()[name].recipe) if name in problems() else {}


def make_problem(spec: str, data_dir: str | Path | None = None) -> Problem:
    """Return the problem that a specification names.

    Raises:
        UserError: if the name or an option is unknown, the problem's data is missing, or the
            functions of a problem from outside the package do not work.

    Example:
        >>> make_problem("quadratic(dimension=3)").dimension
        3
        >>> len(make_problem("quadratic(dimension=3) + convex").parts)
        2
    """
    several = terms(spec)
    if len(several) > 1:
        return Together([make_problem(term, data_dir) for term in several])
    name, options = parse(spec)
    known = problems()
    make = outside.problem(name) if ":" in name else look_up(name, known, "problem").make
    if data_dir is not None and "data_dir" in inspect.signature(make).parameters:
        options["data_dir"] = data_dir
    made = build(make, name, options)
    if not isinstance(made, Problem):
        raise UserError(
            f"{name} returns {type(made).__name__} and must return a Problem; "
            "try metadescent.FromFunction(loss, init)"
        )
    if ":" in name:
        _try_out(made, name)
    return made


def _try_out(problem: Problem, name: str) -> None:
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


def make_optimizer(spec: str, key: PRNGKeyArray) -> LearnedOptimizer:
    """Return the optimizer that a specification names, with φ drawn from `key`.

    Example:
        >>> import jax
        >>> make_optimizer("lstm(layers=(4,))", jax.random.key(0)).layers
        (4,)
        >>> both = make_optimizer("conv/* -> lstm + * -> rnnprop", jax.random.key(0))
        >>> [type(rule).__name__ for rule in both.rules]
        ['LSTM', 'RNNProp']
    """
    if "->" not in spec:
        return make_rule(spec, key)
    groups = groups_of(spec)
    keys = jax.random.split(key, len(groups))
    made = zip(groups, keys, strict=True)
    return Partitioned([(takes, make_rule(one, key)) for (takes, one), key in made])


def make_estimator(spec: str, **given: Any) -> Estimator:
    """Return the estimator of the meta-gradient that a specification names.

    What is `given` are values for the options that the specification leaves open; those that this
    estimator does not have are left out.

    Example:
        >>> make_estimator("pes(std=0.1)", problems=3, coordinates=7)
        PES(problems=3, std=0.1)
    """
    name, options = parse(spec)
    known = discovered("metadescent.meta.estimators")
    make = outside.class_of(name, Estimator) if ":" in name else look_up(name, known, "estimator")
    accepted = inspect.signature(make).parameters
    return build(make, name, {k: v for k, v in given.items() if k in accepted} | options)


def make_rule(spec: str, key: PRNGKeyArray) -> LearnedOptimizer:
    """Return the optimizer of a group: as `make_optimizer`, or one of Optax's, "optax.adam(…)".

    Example:
        >>> import jax
        >>> m = make_rule("lstm(layers=(4,)) >> pace(horizon=50.0)", jax.random.key(0))
        >>> [type(rule).__name__ for rule in m.rules]
        ['LSTM', 'Pace']
    """
    several = links(spec)
    if len(several) > 1:
        keys = jax.random.split(key, len(several))
        return chain([make_rule(one, key) for one, key in zip(several, keys, strict=True)])
    name, options = parse(spec)
    if name.startswith("optax."):
        return ByHand(_of_optax(name, options))
    make = (
        outside.class_of(name, LearnedOptimizer)
        if ":" in name
        else look_up(name, optimizers(), "optimizer")
    )
    return build(partial(make, key=key), name, options)


def _of_optax(name: str, options: dict[str, Any]) -> optax.GradientTransformation:
    make = getattr(optax, name.removeprefix("optax."), None)
    made = build(make, name, options) if inspect.isfunction(make) else None
    if not isinstance(made, optax.GradientTransformation):
        raise UserError(f"there is no optimizer {name!r}; try optax.adam(learning_rate=0.001)")
    theta = jax.ShapeDtypeStruct((2,), "float32")
    try:
        jax.eval_shape(lambda x: made.update(x, made.init(x), x), theta)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{call(name, options)} moves no θ: {reason}") from error
    return made
