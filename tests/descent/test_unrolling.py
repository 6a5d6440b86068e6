"""The graph of figure 2: what is carried, what is credited, and what is held constant."""

import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.episode import start_batch
from metadescent.descent.unrolling import Trajectory, start, unroll
from metadescent.meta.loss import meta_loss
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.batch import Batch
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(2)
M = LSTM((3,), key=jax.random.key(0))
F = Quadratic(dimension=3).sample(jax.random.key(1))

fast_unroll = eqx.filter_jit(unroll)


class Noisy(Optimizee):
    """f(θ) = E‖θ − ε‖⁴, one ε at a time."""

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (3,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        # Of the key's own bits: a normal draw would take most of the time to compile.
        noise = jax.random.key_data(key)[-1] % 8 / 8
        return jnp.sum((theta - noise) ** 2) ** 2


class Square(Optimizee):
    """f(x) = x², from x₀ = 1."""

    def init(self, key: jax.Array) -> jax.Array:
        del key
        return jnp.ones(())

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return theta**2


class Constant(Problem):
    """The distribution that always draws the same f."""

    f: Optimizee

    def sample(self, key: jax.Array) -> Optimizee:
        del key
        return self.f


class Layered(LearnedOptimizer):
    """A rule with much between ∇ and g."""

    weights: jax.Array

    def init(self, params: Any) -> Any:
        return jnp.zeros_like(params)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        for w in self.weights:
            updates = jnp.tanh(w * updates + state)
        return -0.01 * updates, updates


OPTIMIZEES: dict[str, Optimizee] = {
    "deterministic": F,
    "stochastic": Noisy(),
    "a batch": Batch.sample(Quadratic(dimension=3), jax.random.key(1), 2),
    "a stochastic batch": Batch.sample(Constant(Noisy()), jax.random.key(1), 2),
}


@pytest.mark.parametrize("name", OPTIMIZEES)
def test_forty_steps_are_twenty_and_then_twenty(name: str, assert_close: Callable) -> None:
    f = OPTIMIZEES[name]
    begin = start(M, f, KEY)
    end, losses = fast_unroll(M, f, begin, KEY, num_steps=40)
    middle, first = fast_unroll(M, f, begin, KEY, num_steps=20)
    last, second = fast_unroll(M, f, middle, KEY, num_steps=20)
    assert_close(last, end)
    assert_close(jnp.concatenate([first, second]), losses)


def by_hand(
    m: Any, f: Optimizee, theta: Any, num_steps: int, second_derivatives: bool = False
) -> jax.Array:
    """f(θ_1) … f(θ_T) by a plain loop, with ∇ held constant unless second derivatives are on."""
    state, losses = m.init(theta), []
    for t in range(num_steps):
        gradient = jax.grad(f.loss)(theta, jax.random.fold_in(KEY, t))
        if not second_derivatives:
            gradient = jax.lax.stop_gradient(gradient)
        g, state = m.update(gradient, state, theta)
        theta = optax.apply_updates(theta, g)
        losses.append(f.loss(theta, jax.random.fold_in(KEY, t + 1)))
    return jnp.stack(losses)


@pytest.mark.parametrize("m", [M, optax.sgd(0.01), optax.adam(0.1)], ids=["LSTM", "SGD", "Adam"])
@pytest.mark.parametrize("name", ["deterministic", "stochastic"])
def test_losses_are_those_after_each_update(m: Any, name: str, assert_close: Callable) -> None:
    f = OPTIMIZEES[name]
    begin = start(m, f, KEY)
    end, losses = fast_unroll(m, f, begin, KEY, num_steps=3)
    assert_close(losses, jax.jit(lambda theta: by_hand(m, f, theta, 3))(begin.theta))
    assert int(end.step) == 3
    assert_close(losses[-1], f.loss(end.theta, jax.random.fold_in(KEY, 3)))


def test_a_batch_is_its_optimizees_one_by_one(assert_close: Callable) -> None:
    fs = OPTIMIZEES["a batch"]
    clipped = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1))
    for m in (M, clipped):
        begin = start(m, fs, KEY)
        end, losses = fast_unroll(m, fs, begin, KEY, num_steps=3)
        for b in range(2):
            f = eqx.combine(jax.tree.map(lambda x, b=b: x[b], fs.own), fs.shared)
            alone = Trajectory(begin.theta[b], m.init(begin.theta[b]), begin.step)
            end_alone, losses_alone = fast_unroll(m, f, alone, KEY, num_steps=3)
            assert_close(losses[:, b], losses_alone)
            assert_close(end.theta[b], end_alone.theta)


def test_each_step_draws_its_own_minibatch() -> None:
    still = optax.sgd(0.0)
    f = OPTIMIZEES["stochastic"]
    _, losses = unroll(still, f, start(still, f, KEY), KEY, num_steps=8)
    assert len(np.unique(np.asarray(losses))) > 1


def meta_gradient(m: LSTM, loss: Callable[[LSTM], jax.Array]) -> LSTM:
    return eqx.filter_jit(eqx.filter_grad(lambda m: loss(m).sum()))(m)


def unrolled(f: Optimizee, num_steps: int, **options: Any) -> Callable[[LSTM], jax.Array]:
    begin = start(M, f, KEY)
    return lambda m: unroll(m, f, begin, KEY, num_steps=num_steps, **options)[1]


def in_hand(f: Optimizee, num_steps: int, **options: Any) -> Callable[[LSTM], jax.Array]:
    theta = f.init(KEY)
    return lambda m: by_hand(m, f, theta, num_steps, **options)


def test_the_last_update_gets_credit(assert_close: Callable) -> None:
    slope = meta_gradient(M, unrolled(F, 1))
    assert float(jnp.abs(slope.output.bias).max()) > 1e-3
    assert_close(slope, meta_gradient(M, in_hand(F, 1)))


@pytest.mark.parametrize("second_derivatives", [False, True])
@pytest.mark.parametrize("name", ["deterministic", "stochastic"])
def test_the_meta_gradient_is_that_of_a_plain_loop(
    name: str, second_derivatives: bool, assert_close: Callable
) -> None:
    f = OPTIMIZEES[name]
    ours = unrolled(f, 4, second_derivatives=second_derivatives)
    plain = in_hand(f, 4, second_derivatives=second_derivatives)
    assert_close(meta_gradient(M, ours), meta_gradient(M, plain), rtol=1e-4, atol=1e-5)


FORMS = ("plain", "recompute", "segments")


@pytest.mark.parametrize("second_derivatives", [False, True])
# One step, a prime number, a multiple of a segment.
@pytest.mark.parametrize("num_steps", [1, 7, 12])
def test_the_forms_agree(num_steps: int, second_derivatives: bool, assert_close: Callable) -> None:
    m, f = Layered(jnp.asarray([0.5, 1.5])), OPTIMIZEES["a stochastic batch"]
    begin, options = start(m, f, KEY), {"second_derivatives": second_derivatives}

    def loss(m: Layered, form: str) -> Any:
        end, losses = unroll(m, f, begin, KEY, num_steps=num_steps, form=form, **options)
        return losses.sum() + end.theta.sum(), (end, losses)

    slope = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))
    plain, recompute, segments = (slope(m, form) for form in FORMS)
    assert_close(recompute, plain, rtol=1e-4, atol=1e-5)
    assert_close(segments, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_forms_take_memory_with_the_steps_or_with_their_root() -> None:
    m, f = Layered(jnp.ones(8)), Batch.sample(Quadratic(dimension=10), jax.random.key(1), 100)
    begin = start(m, f, KEY)

    def taken(form: str, num_steps: int) -> int:
        def loss(m: Layered) -> jax.Array:
            return unroll(m, f, begin, KEY, num_steps=num_steps, form=form)[1].sum()

        program = jax.jit(jax.grad(loss)).lower(m).compile()
        return program.memory_analysis().temp_size_in_bytes

    short, long = ({form: taken(form, steps) for form in FORMS} for steps in (64, 1024))
    for memory in (short, long):
        assert memory["segments"] < memory["recompute"] < memory["plain"]
    growth = {form: long[form] / short[form] for form in FORMS}
    assert growth["segments"] < 1.25 * 4
    assert growth["recompute"] == pytest.approx(16, rel=0.25)


def program(**options: Any) -> str:
    return str(
        eqx.filter_make_jaxpr(unroll)(M, F, start(M, F, KEY), KEY, num_steps=12, **options)[0]
    )


@pytest.mark.parametrize(
    ("form", "loops", "recomputed"),
    [("plain", ["12"], 0), ("recompute", ["12"], 1), ("segments", ["3", "4"], 2)],
)
def test_a_form_is_what_is_recomputed_on_the_way_back(
    form: str, loops: list[str], recomputed: int
) -> None:
    """Nothing, the rule of each step, or that and segments of √T steps, the inner loop."""
    text = program(form=form)
    assert re.findall(r"length=(\d+)", text) == loops
    assert len(re.findall("remat", text)) == recomputed


def test_unless_told_otherwise_it_recomputes_the_rule_and_is_of_first_order() -> None:
    assert program() == program(form="recompute", second_derivatives=False)
    assert program() != program(second_derivatives=True)


def test_a_function_of_ones_own_is_checked(sentence: Callable) -> None:
    class Whole(Square):
        def init(self, key: jax.Array) -> jax.Array:
            del key
            return jnp.ones((), int)

    class Many(Square):
        def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
            del key
            return theta * jnp.ones(2)

    whole = jnp.ones((), int).dtype
    said = sentence(start, M, Whole(), KEY)
    assert said.startswith(f"θ as Whole.init returns it is {whole} and must be floating-point")
    said = sentence(unroll, M, Many(), start(M, Square(), KEY), KEY, num_steps=2)
    assert said.startswith(
        f"Many.loss returns {jnp.ones(2).dtype}[2] and must return a floating-point scalar"
    )


def test_first_order_and_exact_meta_gradients_differ_where_f_is_curved() -> None:
    first, exact = (
        meta_gradient(M, unrolled(F, 32, second_derivatives=exactly)) for exactly in (False, True)
    )
    assert not np.allclose(first.output.weight, exact.output.weight, rtol=1e-2)


class Slope(Optimizee):
    """f(θ) = ⟨c, θ⟩, whose second derivatives are zero."""

    c: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, self.c.shape)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return self.c @ theta


def test_first_order_is_exact_where_f_is_not_curved(assert_close: Callable) -> None:
    f = Slope(jnp.asarray([0.5, -2.0]))
    first, exact = (
        meta_gradient(M, unrolled(f, 4, second_derivatives=exactly)) for exactly in (False, True)
    )
    assert_close(first, exact)


def test_with_second_derivatives_it_is_a_finite_difference() -> None:
    with jax.enable_x64(True):
        m = Layered(jnp.asarray([0.5, 1.5]))
        f = Quadratic(dimension=2).sample(jax.random.key(1))
        begin = start(m, f, KEY)
        phi, static = eqx.partition(m, eqx.is_inexact_array)

        @jax.jit
        def loss(phi: Any) -> jax.Array:
            rule = eqx.combine(phi, static)
            return unroll(rule, f, begin, KEY, num_steps=4, second_derivatives=True)[1].sum()

        slope = jax.jit(jax.grad(loss))(phi)
        direction = optax.tree.random_like(jax.random.key(3), phi)
        h = 1e-5
        forward, backward = (loss(optax.tree.add_scale(phi, s, direction)) for s in (h, -h))
        difference = float(forward - backward) / (2 * h)
        assert float(optax.tree.vdot(slope, direction)) == pytest.approx(difference, rel=1e-6)


class Wave(Optimizee):
    """f(θ) = Σ sin θ, whose passes show in a program as sines and cosines."""

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return jnp.sin(theta).sum()


def test_first_order_never_runs_f_backwards_twice() -> None:
    def passes(function: Callable[[LSTM], Any]) -> int:
        return len(re.findall(r"= (sin|cos) ", str(eqx.filter_make_jaxpr(function)(M)[0])))

    def differentiated(loss: Callable[[LSTM], jax.Array]) -> Callable[[LSTM], LSTM]:
        return eqx.filter_grad(lambda m: loss(m).sum())

    first, exact = (unrolled(Wave(), 4, second_derivatives=exactly) for exactly in (False, True))
    assert passes(differentiated(first)) == passes(first) > 0
    assert passes(differentiated(exact)) > passes(first)


@pytest.mark.parametrize("form", FORMS)
def test_the_program_does_not_grow_with_the_number_of_steps(form: str) -> None:
    def size(num_steps: int) -> int:
        begin = start(M, F, KEY)
        program = eqx.filter_make_jaxpr(unroll)(M, F, begin, KEY, num_steps=num_steps, form=form)
        return len(str(program[0]).splitlines())

    assert size(5) == size(50)


def test_it_reproduces_the_authors_torch_original() -> None:
    """The figures of `testResults` in meta_test.py of google-deepmind/learning-to-learn.

    A linear optimizer with φ = 0, no preprocessing, two unrolls of five steps with one step of
    Adam at 0.01 after each. They report f and x after the second unroll: the first leaves x at 1,
    Adam makes both parameters −0.01, and the second takes x to 1.5 · 0.98⁵ − 0.5.
    """
    with jax.enable_x64(True):
        m = jax.tree.map(jnp.zeros_like, LSTM((), p=None, scale=1.0, key=KEY))
        problem = Constant(Square())
        adam = optax.adam(0.01)
        state = adam.init(eqx.filter(m, eqx.is_inexact_array))
        trajectory = start_batch(m, problem, KEY, 1)
        slope = eqx.filter_jit(eqx.filter_grad(meta_loss, has_aux=True))
        for _ in range(2):
            gradient, (trajectory, losses) = slope(
                m, problem, trajectory, KEY, num_problems=1, num_steps=5
            )
            updates, state = adam.update(gradient, state)
            m = optax.apply_updates(m, updates)
        assert float(losses[-1, 0]) == pytest.approx(0.7325327, abs=1e-7)
        assert float(trajectory.theta[0]) == pytest.approx(0.8559, abs=5e-5)
