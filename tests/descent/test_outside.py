"""Code from outside the package is tried once: f, its gradient, and one update of a rule."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.outside import FLAT, NOT_FINITE, check_start, try_problem, try_rule
from metadescent.descent.tuning import tune
from metadescent.optimizers.base import Coordinatewise, LearnedOptimizer
from metadescent.optimizers.chained import chain
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Problem
from metadescent.problems.from_function import FromFunction
from metadescent.problems.quadratic import Quadratic
from metadescent.problems.together import Together

KEY = jax.random.key(0)


def minimize(f: Callable[[Any], Any], start: Any = None) -> FromFunction:
    start = jnp.ones(3) if start is None else start
    return FromFunction(lambda theta, key: f(theta), lambda key: start)


@jax.custom_vjp
def half(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2)


half.defvjp(lambda x: (half(x), x), lambda x, g: (2 * x * g, x))


@pytest.mark.parametrize(
    ("f", "reason"),
    [
        (
            lambda x: jax.pure_callback(
                lambda y: np.zeros((), y.dtype),
                jax.ShapeDtypeStruct((), x.dtype),
                x,
                vmap_method="sequential",
            ),
            "ValueError: Pure callbacks do not support JVP",
        ),
        (
            lambda x: jax.lax.while_loop(lambda y: y > 1, lambda y: y / 2, jnp.sum(x)),
            "ValueError: Reverse-mode differentiation does not work",
        ),
        (half, "TypeError: Custom VJP bwd rule"),
    ],
    ids=["a callback", "a while loop", "a wrong rule"],
)
def test_an_f_that_cannot_be_differentiated_is_named(
    f: Any, reason: str, sentence: Callable
) -> None:
    for problem in (minimize(f), Together([Quadratic(2), minimize(f)])):
        said = sentence(try_problem, problem, "mine.py:f")
        assert said.startswith(f"mine.py:f has no gradient by jax.grad, {reason}")
        assert said.endswith("; mend it, --debug shows where")


def test_an_f_without_coordinates_is_refused_and_an_empty_leaf_is_none(sentence: Callable) -> None:
    both = [jnp.zeros((0, 3)), jnp.ones(2)]
    try_problem(minimize(lambda x: jnp.sum(x[1] ** 2), both), "mine.py:f")
    assert sentence(minimize, lambda x: jnp.sum(x**2), jnp.zeros((0, 2))) == (
        "θ as init returns it has no coordinates; try jnp.zeros(3)"
    )


@pytest.mark.parametrize("f", [lambda x: jnp.sum(jnp.log(-x)), lambda x: jnp.sum(jnp.sqrt(x - 1))])
def test_what_is_not_finite_where_theta_begins_is_said(f: Any, sentence: Callable) -> None:
    """Be it f, or the gradient alone."""
    check_start(minimize(lambda x: jnp.sum(x**2)), KEY, 4)
    assert sentence(check_start, minimize(f), KEY, 4) == NOT_FINITE
    # Before the search of a rate as before training.
    assert sentence(tune, "sgd", minimize(f), KEY, num_steps=4, num_seeds=2) == NOT_FINITE


def test_a_search_says_that_f_has_no_gradient(sentence: Callable) -> None:
    for f in (lambda x: jnp.sum(x * 0.0) + 1.0, lambda x: jnp.sum(jnp.round(x))):
        check_start(minimize(f), KEY, 4)
        assert sentence(tune, "adam", minimize(f), KEY, num_steps=4, num_seeds=2) == FLAT


def test_a_constant_that_would_lose_its_value_is_refused(sentence: Callable) -> None:
    """As of a problem of one's own class, which makes it where f is drawn."""

    class Times(Problem):
        def sample(self, key: Any) -> Any:
            times = jnp.asarray(np.array([1700000000000, 2]))
            return minimize(lambda x: jnp.sum((x - times) ** 2), jnp.ones(2)).sample(key)

    if jax.config.jax_enable_x64:
        pytest.skip("with 64 bits nothing is lost")
    assert sentence(check_start, Times(), KEY, 4) == (
        "an array of shape (2,) that f reads is int64 and holds 1700000000000, which becomes "
        "-807049216 in JAX's int32; subtract an offset or divide in NumPy first, or set "
        "JAX_ENABLE_X64=1"
    )


class Rule(Coordinatewise):
    """g = −a ∇, with what a test does to it."""

    a: jax.Array
    g: Any = eqx.field(static=True, default=lambda g: g)
    h: Any = eqx.field(static=True, default=lambda h: h)
    begin: Any = eqx.field(static=True, default=0.0)

    def init_coordinate(self) -> Any:
        return jnp.asarray(self.begin)

    def update_coordinates(self, gradient: Any, state: Any) -> Any:
        return self.g(-self.a * gradient), self.h(state)


class Whole(LearnedOptimizer):
    a: jax.Array

    def init(self, params: Any) -> Any:
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **_: Any) -> Any:
        return jax.tree.map(lambda x: -self.a * x.sum(), updates), state


A = jnp.ones(())
FLOAT, INT = jnp.ones(()).dtype, jnp.ones((), int).dtype  # of 64 bits where JAX has them on
RETURNS = "update_coordinates returns as"


@pytest.mark.parametrize(
    ("m", "said"),
    [
        (Rule(A, g=lambda g: g[:, None]), f"{RETURNS} g {FLOAT}[3, 1], and must return {FLOAT}[3]"),
        (Rule(A, g=lambda g: g.sum()), f"{RETURNS} g {FLOAT}[], and must return {FLOAT}[3]"),
        (Rule(A, h=lambda h: h[None]), f"{RETURNS} h {FLOAT}[1, 3], and must return {FLOAT}[3]"),
        (Rule(A, h=lambda h: (h, h)), f"{RETURNS} h {FLOAT}[3][0] and {FLOAT}[3][1], and must"),
        (
            Rule(A, begin=0, h=lambda h: h + 0.5),
            f"{RETURNS} h {FLOAT}[3], and must return {INT}[3]",
        ),
        (
            Rule(A, g=lambda g: jnp.expp(g)),
            "Rule does not work, AttributeError: module 'jax.numpy'",
        ),
        (Whole(A), f"Whole.update returns as g {FLOAT}[2], and must return {FLOAT}[2, 2]"),
    ],
)
def test_a_rule_that_makes_no_step_is_named(m: Any, said: str, sentence: Callable) -> None:
    for rule in (m, chain([LSTM((2,), key=KEY), m])) if isinstance(m, Rule) else (m,):
        whole = sentence(try_rule, rule, Quadratic(2))
        assert whole.startswith(__file__)
        assert said in whole


def test_a_rule_that_works_is_let_through() -> None:
    for m in (Rule(A), Rule(A, h=lambda h: h + 1), LSTM((2,), key=KEY)):
        try_rule(m, Quadratic(2))
