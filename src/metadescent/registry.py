"""Names for problems, optimizers and estimators, found by discovery: a new one is one new file.

Every module of `metadescent.problems`, `.optimizers` and `.meta.estimators` may define `NAMED`.
Beyond those names, `module:Class` and `path/to/file.py:Class` name what lives outside the package;
there it may also be an instance, or what returns one when it is called. Any of them takes options
the way Python writes them: `quadratic(dimension=20)`. Problems joined by plus signs are one problem
that has them side by side: `mnist + convex`. Plus signs also join optimizers, each for its own
leaves: `conv/* -> lstm + * -> optax.adam(learning_rate=0.001)`. `lstm >> guard` is a rule with a
guard, and `pes >> pool` an estimator on a pool of trajectories.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from metadescent._errors import UserError
from metadescent._names import build, discovered, look_up, maker_outside, parameters_of
from metadescent._spec import GUARD, Call, Chain, Groups, Rule, Spec, Sum, calls, guard_of, parse
from metadescent.descent.outside import try_problem
from metadescent.meta.estimators.base import Estimator
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.chained import Chained, InTurn, chain
from metadescent.optimizers.guarded import Guarded
from metadescent.optimizers.partitioned import ByHand, Partitioned
from metadescent.problems.base import Named, Problem
from metadescent.problems.together import Together


def problems() -> dict[str, Named]:
    """Return every problem of the package by name."""
    return discovered("metadescent.problems")


def optimizers() -> dict[str, type[LearnedOptimizer]]:
    """Return every kind of learned optimizer of the package by name."""
    return discovered("metadescent.optimizers")


def recipe_of(spec: str) -> dict[str, Any]:
    """Return where meta-training on this problem, or the first of a sum, is not by the defaults."""
    name, known = calls(parse(spec))[0].name, problems()
    return dict(known[name].recipe) if name in known else {}


def make_problem(spec: str, data_dir: str | Path | None = None) -> Problem:
    """Return the problem that `spec` names, with its data in `data_dir` or the usual place.

    Raises:
        UserError: if the name or an option is unknown, the problem's data is missing, or the
            functions of a problem from outside the package do not work.

    Example:
        >>> make_problem("quadratic(dimension=3)").dimension
        3
        >>> len(make_problem("quadratic(dimension=3) + convex").parts)
        2
    """
    tree = parse(spec)
    if isinstance(tree, Sum):
        return Together([_problem(_as_call(term), data_dir) for term in tree.terms])
    return _problem(_as_call(tree), data_dir)


def _problem(call: Call, data_dir: str | Path | None) -> Problem:
    if ":" in call.name:
        make = maker_outside(call.name, Problem)
    else:
        make = look_up(call.name, problems(), "problem").make
    # One that takes whatever it is given need not read data.
    reads = data_dir is not None and "data_dir" in parameters_of(make)
    problem = build(make, call, **({"data_dir": data_dir} if reads else {}))
    _check_made(problem, Problem, call.name, "metadescent.FromFunction(loss, init)")
    if ":" in call.name:
        try_problem(problem, call.name)
    return problem


def _check_made(made: Any, kind: type, name: str, hint: str) -> None:
    if not isinstance(made, kind):
        raise UserError(
            f"{name} returns {type(made).__name__} and must return a {kind.__name__}; try {hint}"
        )


def _as_call(spec: Spec) -> Call:
    """Return a call as it is, and what should have been one as a name that nothing has."""
    return spec if isinstance(spec, Call) else Call(str(spec), {})


def make_optimizer(spec: str | Spec, key: PRNGKeyArray) -> LearnedOptimizer:
    """Return the optimizer that `spec` names, with φ drawn from `key`.

    Beside the package's own there are those of Optax: `optax.adam(learning_rate=0.001)`.

    Raises:
        UserError: if the name or an option is unknown, or an option has no such value.

    Example:
        >>> import jax
        >>> make_optimizer("lstm(layers=(4,))", jax.random.key(0)).layers
        (4,)
        >>> both = make_optimizer("conv/* -> lstm + * -> rnnprop", jax.random.key(0))
        >>> [type(rule).__name__ for rule in both.rules]
        ['LSTM', 'RNNProp']
    """
    tree, guard = guard_of(parse(spec) if isinstance(spec, str) else spec)
    if guard is not None:
        return build(partial(Guarded, make_optimizer(tree, key)), guard)
    match tree:
        case Groups(groups):
            keys = jax.random.split(key, len(groups))
            makers = zip(groups, keys, strict=True)
            return Partitioned(
                [(takes, make_optimizer(rule, key)) for (takes, rule), key in makers]
            )
        case Chain(links):
            keys = jax.random.split(key, len(links))
            return chain([make_optimizer(link, k) for link, k in zip(links, keys, strict=True)])
    call = _as_call(tree)
    if call.name == GUARD:
        raise UserError(f"{GUARD} stands behind the rules that it guards; try lstm >> {GUARD}")
    if call.name.startswith("optax."):
        return ByHand(_of_optax(call), str(call))
    if ":" not in call.name:
        return build(look_up(call.name, optimizers(), "optimizer"), call, key=key)
    rule = build(maker_outside(call.name, LearnedOptimizer), call, key=key)
    _check_made(rule, LearnedOptimizer, call.name, "a class that extends Coordinatewise")
    return rule


def _of_optax(call: Call) -> optax.GradientTransformation:
    make = getattr(optax, call.name.removeprefix("optax."), None)
    rule = build(make, call) if inspect.isfunction(make) else None
    if not isinstance(rule, optax.GradientTransformation):
        raise UserError(f"there is no optimizer {call.name!r}; try optax.adam(learning_rate=0.001)")
    theta = jax.ShapeDtypeStruct((2,), "float32")
    # Optax takes any value for a rate, and stumbles over it only when used.
    try:
        jax.eval_shape(lambda x: rule.update(x, rule.init(x), x), theta)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{call.in_full()} moves no θ: {reason}") from error
    return rule


def make_estimator(spec: str, **given: Any) -> Estimator:
    """Return the estimator of the meta-gradient that `spec` names.

    What is `given` are values for the options that the specification leaves open; those that this
    estimator does not have are left out. In "pes >> pool" the first is what the second is of.

    Raises:
        UserError: if the name or an option is unknown, or an option has no such value.

    Example:
        >>> make_estimator("pes(std=0.1)", problems=3, coordinates=7)
        PES(problems=3, std=0.1)
    """
    parsed = parse(spec)
    links = parsed.links if isinstance(parsed, Chain) else (_as_call(parsed),)
    if _takes_another(links[0]):
        links = (Call("truncated", {}), *links)
    estimator = None
    for at, call in enumerate(links):
        if at and not _takes_another(call):
            raise UserError(f"{call.name} does not take an estimator; try '{call.name} >> pool'")
        # The number of optimizees is given to the last estimator alone; the others have their own.
        left_out = {*call.options, *(() if at == len(links) - 1 else ("problems",))}
        left_open = {name: value for name, value in given.items() if name not in left_out}
        within = {"of": estimator} if at else {}
        estimator = build(_estimator_maker(call), call, **left_open, **within)
        _check_made(estimator, Estimator, call.name, "a class that extends Estimator")
    return cast(Estimator, estimator)


def _estimator_maker(call: Call) -> Callable[..., Any]:
    if ":" in call.name:
        return maker_outside(call.name, Estimator)
    return look_up(call.name, discovered("metadescent.meta.estimators"), "estimator")


def _takes_another(call: Call) -> bool:
    """Tell whether an estimator goes around another one, which it has as `of`."""
    return "of" in parameters_of(_estimator_maker(call))


def spec_of(m: LearnedOptimizer) -> Spec:
    """Return the specification that makes an optimizer of the package again, all but its φ."""
    if not isinstance(m, Partitioned):
        return _rule_of(m)
    patterns = [takes for takes in m.takes if isinstance(takes, str)]
    if len(patterns) < len(m.takes):
        raise UserError(
            "a group takes its leaves by a function, which has no specification; try a pattern, "
            "such as 'conv/*'"
        )
    return Groups(tuple(zip(patterns, map(_rule_of, m.rules), strict=True)))


def _rule_of(m: LearnedOptimizer) -> Rule:
    if isinstance(m, Chained | InTurn):
        return Chain(tuple(map(_call_of, m.rules)))
    if isinstance(m, Guarded):
        if isinstance(m.rule, Partitioned):
            raise UserError(
                "a partition with a guard has no specification; guard each of its rules, as in "
                f"'conv/* -> lstm >> {GUARD} + * -> lstm >> {GUARD}'"
            )
        rule = _rule_of(m.rule)
        links = rule.links if isinstance(rule, Chain) else (rule,)
        return Chain((*links, Call(GUARD, _options_of(m, partial(Guarded, m.rule)))))
    return _call_of(m)


def _call_of(m: LearnedOptimizer) -> Call:
    if isinstance(m, ByHand) and m.spec is not None:
        return _as_call(parse(m.spec))
    kind = type(m)
    name = next((name for name, named in optimizers().items() if named is kind), None)
    if name is None:
        example = "* -> optax.adam(…)" if kind is ByHand else f"my_rule.py:{kind.__name__}"
        raise UserError(
            f"what makes this {kind.__name__} is not known; name it, such as optimizer={example!r}"
        )
    return Call(name, _options_of(m, kind))


def _options_of(m: LearnedOptimizer, make: Any) -> dict[str, Any]:
    """Return those options of what makes m that are not its defaults."""
    options = {}
    for option, parameter in inspect.signature(make).parameters.items():
        # An option that nothing keeps says where φ begins, and φ itself is kept.
        value = next(_kept(m, option), parameter.default)
        if value != parameter.default:
            options[option] = value.item() if isinstance(value, np.generic) else value
    return options


def _kept(m: eqx.Module, option: str) -> Iterator[Any]:
    """Yield what a rule and its parts have under the name of an option, the outermost first."""
    value = getattr(m, option, m)
    if isinstance(value, bool | int | float | str | tuple | np.generic | None):
        yield value
    for part in vars(m).values():
        if isinstance(part, eqx.Module):
            yield from _kept(part, option)
