"""The kernel of `blend` computes what the reference in JAX computes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent import _ffi
from metadescent._ffi import kernels
from metadescent.optimizers.blend import Blend, _fused, _fuses, _reference
from metadescent.optimizers.native.blend import Tensors

pytestmark = pytest.mark.skipif(not kernels(), reason="no C++ compiler")

KEY = jax.random.key(0)
# Sizes below, at and beyond vectors, blocks, pieces, chunks, and what threads share.
SHAPES = {
    "few axes": [(), (1,), (5,), (5000,)],
    "empty": [(0,), (3, 0), (0, 4, 2), (6, 4)],
    "rows": [(1, 9), (9, 1), (1, 1), (33, 65)],
    "tall": [(784, 64), (40, 31)],
    "wide": [(7, 600), (64, 130)],
    "several axes": [(3, 3, 2, 5), (2, 3, 4), (2, 1, 33)],
}
LARGE = [(300, 450), (140_000,), (9, 15_000)]
RULES = (_fused, _reference)


def optimizer(horizon: float = 0.0, hidden: int = 5) -> Blend:
    """Return an optimizer whose network says something, in float32 with JAX's 64 bits on too."""
    m = Blend(horizon=horizon, hidden=hidden, key=KEY)
    m = eqx.tree_at(lambda m: (m.W_2, m.b_1), m, (30 * m.W_2, m.b_1 + 0.3))
    return jax.tree.map(lambda x: x.astype(jnp.float32), m)


def draw(shapes: list[tuple[int, ...]], number: int) -> list[jax.Array]:
    keys = jax.random.split(jax.random.fold_in(KEY, number), len(shapes))
    return [jax.random.normal(k, s, jnp.float32) for k, s in zip(keys, shapes, strict=True)]


def given(m: Blend, shapes: list[tuple[int, ...]], number: int = 0, scale: float = 1.0) -> tuple:
    """Return what a step takes: m, ∇, θ, h, figures and t, of steps that were."""
    gradients, thetas, fast, slow, square = (draw(shapes, 5 * number + k) for k in range(5))
    h = Tensors(
        [0.3 * scale * x for x in fast],
        [0.1 * scale * x for x in slow],
        [0.02 * scale**2 * x**2 for x in square],
    )
    figures = m.init([0.5 * x for x in thetas]).figures.astype(jnp.float32)
    figures += jnp.asarray([0.2, 0.1, scale**2, scale**2, 0.3, 0.0, 0.01], jnp.float32)
    return m, [scale * x for x in gradients], thetas, h, figures, jnp.float32(number + 3)


def apart(ours: Any, others: Any) -> np.ndarray:
    """Return how far results are apart, each beside its size, as mean squares go."""

    def one(a: Any, b: Any) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        size = np.sqrt(np.mean(b**2)) if b.size else 0.0
        return float(np.sqrt(np.mean((a - b) ** 2)) / size) if size else float(np.any(a != 0))

    return np.asarray(jax.tree.leaves(jax.tree.map(one, ours, others)))


@pytest.mark.parametrize("horizon", [0.0, 90.0])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_a_step_is_the_references(shapes: list[tuple[int, ...]], horizon: float) -> None:
    words = given(optimizer(horizon), shapes)
    assert apart(jax.jit(_fused)(*words), jax.jit(_reference)(*words)).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
@pytest.mark.parametrize("shapes", [*SHAPES.values(), LARGE], ids=[*SHAPES, "large"])
def test_100_steps_are_the_references(shapes: list[tuple[int, ...]], scale: float) -> None:
    """Beside what rounding does to the reference itself, where a matrix is nearly singular."""
    m = optimizer(100.0)
    thetas, pull = draw(shapes, 1), draw(shapes, 2)
    rules, in_double = [jax.jit(rule) for rule in RULES], jax.jit(lambda *words: _reference(*words))
    errors = [np.zeros((2, len(shapes)))]
    h, figures = Tensors(*m.init(thetas)[:3]), m.init(thetas).figures.astype(jnp.float32)
    h = jax.tree.map(lambda x: x.astype(jnp.float32), h)
    for t in range(100 if sum(x.size for x in thetas) < 100_000 else 10):
        gradients = [
            jnp.float32(scale) * (x - c + 0.5 * noise)
            for x, c, noise in zip(thetas, pull, draw(shapes, 10 + t), strict=True)
        ]
        words = m, gradients, thetas, h, figures, jnp.float32(t)
        (ours, *after), (reference, *expected) = (rule(*words) for rule in rules)
        if apart(ours, reference).max() > 1e-5:
            # What is 0 to 32 bits, since it is too small, is not to 64.
            assert scale >= 1.0
            with jax.enable_x64():
                double = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), words)
                exact, *_ = in_double(*double)
            errors.append(np.stack([apart(steps, exact) for steps in (ours, reference)]))
        assert apart(after, expected).max() < 1e-5
        (h, figures), thetas = after, [x + g for x, g in zip(thetas, ours, strict=True)]
    # Over all steps: the worst step of either is a matter of luck.
    its, references = np.sqrt(np.mean(np.square(errors), axis=0))
    assert (its < 1e-5 + 3 * references).all()


def test_all_shapes_of_the_list_go_to_the_kernel() -> None:
    assert all(_fuses(*given(optimizer(), shapes)) for shapes in [*SHAPES.values(), LARGE])


@pytest.mark.parametrize("hidden", [1, 16, 33])
def test_a_network_may_have_any_number_of_units(hidden: int) -> None:
    words = given(optimizer(50.0, hidden), [(6, 5), (4,)])
    assert apart(jax.jit(_fused)(*words), jax.jit(_reference)(*words)).max() < 1e-5


def test_where_there_was_no_gradient_nothing_moves() -> None:
    m = optimizer()
    zeros = {"w": jnp.zeros((40, 33)), "b": jnp.zeros(600)}
    theta = jax.tree.map(lambda x: x + 1.0, zeros)
    g, _ = jax.jit(m.as_optax().update)(zeros, m.init(theta), theta)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(g))
    holes = zeros | {"w": draw([(40, 33)], 0)[0].at[3].set(0.0).at[:, 7].set(0.0).at[9, 9].set(0)}
    g, _ = jax.jit(m.as_optax().update)(holes, m.init(theta), theta)
    np.testing.assert_array_equal(np.asarray(g["w"] != 0), np.asarray(holes["w"] != 0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_goes_as_far_as_in_the_reference(value: float) -> None:
    m, gradients, *rest = given(optimizer(), [(40, 33), (600,), (6, 4)])
    gradients[0] = gradients[0].at[3, 4].set(value)
    ours, expected = (jax.jit(f)(m, gradients, *rest) for f in RULES)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(np.isnan(a), np.isnan(b)), ours, expected
    )
    assert np.isnan(ours[0][0]).all()
    assert np.isfinite(ours[0][2]).all()


def loss(rule: Callable, words: Any) -> jax.Array:
    return jnp.sum(jnp.stack([jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(rule(*words))]))


def test_it_differentiates_like_the_reference(assert_same_bits: Callable) -> None:
    words = given(optimizer(), [(6, 5), (4,)])
    ours, expected = (jax.jit(jax.grad(lambda w, f=f: loss(f, w)))(words) for f in RULES)
    assert_same_bits(ours, expected)
    along = jax.tree.map(jnp.ones_like, words)
    ours, expected = (jax.jvp(lambda *w, f=f: f(*w), words, along) for f in RULES)
    assert_same_bits(ours, expected)


def test_under_vmap_each_has_its_own(assert_same_bits: Callable) -> None:
    """θ, h and φ may be of each, as in meta-training, or of all; batches of batches too."""
    shapes = [(6, 5), (600,), (), (0, 3)]
    all_words = [given(optimizer(), shapes, number) for number in range(6)]
    alone = [jax.jit(_fused)(*words) for words in all_words]
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs).reshape(2, 3, *xs[0].shape), *all_words)
    each = jax.jit(jax.vmap(jax.vmap(_fused)))(*stacked)
    flat = jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), each)
    for k, expected in enumerate(alone):
        assert_same_bits(jax.tree.map(lambda x, k=k: x[k], flat), expected)
    m, gradients, *rest = all_words[0]
    shared = jax.vmap(_fused, in_axes=(None, 0, None, None, None, None))
    steps, *_ = shared(m, [jnp.stack([x, 0 * x]) for x in gradients], *rest)
    assert_same_bits([x[0] for x in steps], alone[0][0])


def test_the_result_has_the_same_bits_each_time(assert_same_bits: Callable) -> None:
    words = given(optimizer(), LARGE)
    step = jax.jit(_fused)
    first = step(*words)
    for _ in range(3):
        assert_same_bits(step(*words), first)


def test_h_is_renewed_in_place() -> None:
    m = optimizer()
    theta = draw([(60, 50), (900,)], 0)

    def step(theta: list, h: Any, gradients: list) -> tuple[list, Any]:
        g, h = m.update(gradients, h, theta)
        return optax.apply_updates(theta, g), h

    h = m.init(theta)
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(theta, h, theta).compile()
    # g, and not a copy of any of h.
    assert compiled.memory_analysis().temp_size_in_bytes < 1.5 * sum(x.nbytes for x in theta)


def test_half_precision_is_rounded_before_and_after() -> None:
    m, theta = optimizer(), draw([(6, 5), (600,)], 0)
    half = [x.astype(jnp.bfloat16) for x in draw([(6, 5), (600,)], 1)]
    update = jax.jit(m.as_optax().update)
    g, h = update(half, m.init(theta), theta)
    whole, expected = update([x.astype(jnp.float32) for x in half], m.init(theta), theta)
    assert all(x.dtype == jnp.bfloat16 for x in g)
    assert apart(g, whole).max() < 0.01
    assert apart(h, expected).max() < 1e-6


def test_what_is_no_work_for_it_goes_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    m, gradients, thetas, *rest = given(optimizer(), [(6, 5), (4,)])
    assert _fuses(m, gradients, thetas, *rest)
    assert not _fuses(m, [], [], Tensors([], [], []), *rest[1:])
    assert not _fuses(m, gradients, [thetas[0], thetas[1][:1]], *rest)
    assert not _fuses(m, gradients[1:], thetas[1:], Tensors(*(x[1:] for x in rest[0])), *rest[1:])
    with jax.enable_x64():
        assert not _fuses(m, [jnp.asarray(x, jnp.float64) for x in gradients], thetas, *rest)
    monkeypatch.setattr(_ffi, "kernels", dict)
    assert not _fuses(m, gradients, thetas, *rest)
