"""NTM-BFGS by its equations, and as BFGS itself once its controller is told how."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.optimizers.appendix_d.gac import average
from metadescent.optimizers.appendix_d.ntm import Controller, Emission
from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS
from metadescent.optimizers.appendix_d.ntm_l_bfgs import NTMLBFGS
from metadescent.optimizers.base import phi_dtype
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(0)
STEPS, N, ITERATIONS = 4, 6, 7
GRADIENTS = jax.random.normal(jax.random.key(1), (STEPS, N))


def make(writes: int = 2, gamma: float = 0.5, **options: Any) -> NTMBFGS:
    return NTMBFGS((3,), 1, scale=0.7, reads=2, writes=writes, gamma=gamma, key=KEY, **options)


def loud(m: Any) -> Any:
    """The same with heads that have a lot to say."""
    weight = jax.random.normal(KEY, m.controller.heads.weight.shape)
    bias = jax.random.normal(KEY, m.controller.heads.bias.shape)
    return eqx.tree_at(
        lambda m: (m.controller.heads.weight, m.controller.heads.bias), m, (weight, bias)
    )


M = loud(make())


@eqx.filter_jit
def run(m: Any, gradients: Any) -> tuple[Any, Any]:
    """The updates and states after each of a sequence of gradients, stacked."""

    def step(state: Any, gradient: Any) -> tuple[Any, Any]:
        g, state = m.update(gradient, state)
        return state, (g, state)

    return jax.lax.scan(step, m.init(jax.tree.map(lambda g: g[0], gradients)), gradients)[1]


def test_it_reads_then_writes_and_hears_of_it_a_step_later(assert_close: Callable) -> None:
    controller = eqx.filter_jit(M.controller)
    memory, i, h = 0.5 * np.eye(N), jnp.zeros((2, N)), M.controller.init_row(N)
    updates, states = run(M, GRADIENTS)
    for t, gradient in enumerate(GRADIENTS):
        emitted, h = controller(gradient, i, h)
        i = jnp.stack([jnp.asarray(memory, jnp.float32) @ r for r in emitted.r])
        for a, b in zip(emitted.a, emitted.b, strict=True):
            memory = memory + np.outer(a, b)
        assert_close(updates[t], emitted.g, rtol=1e-4)
        assert_close(states.i[t], i, rtol=1e-4)
        np.testing.assert_allclose(states.memory[t], memory, rtol=1e-4, atol=1e-6)


def test_the_heads_are_linear_in_the_last_layer_which_hears_reads_in_logarithms(
    assert_close: Callable,
) -> None:
    controller = M.controller
    i = jnp.asarray([[0.01, -2.0, 1e6, 0.0, -1e-6, 1.0]] * 2)
    h = jax.tree.map(lambda x: x + 0.1, controller.init_row(N))
    emitted, after = controller(GRADIENTS[0], i, h)
    features = controller.gac.lstm.features(GRADIENTS[0])
    top, expected = controller.gac.run(
        jnp.concatenate([features, jnp.sign(i) * jnp.log(jnp.abs(i) + jnp.sqrt(i**2 + 1))]), h
    )
    assert_close(after, expected, rtol=1e-4)
    vectors = controller.heads.weight @ top + controller.heads.bias[:, None]
    assert_close(jnp.concatenate([emitted.r, emitted.a, N * emitted.b]), vectors, rtol=1e-4)
    assert_close(emitted.g, controller.gac.lstm.emit(top), rtol=1e-4)
    assert (emitted.r.shape, emitted.a.shape, emitted.b.shape) == ((2, N),) * 3


class BFGS(Controller):
    """BFGS by one read head, three write heads and two GACs, an iteration in four steps.

    Everything but the two averages is computed coordinate by coordinate. In step

        0  it reads H y, of the last iteration's y;
        1  it writes  (1 + m₂/m₁)/m₁ s sᵀ − Hy/m₁ sᵀ − s/m₁ (Hy)ᵀ,  each over n, with the averages
           m₁ = mean(s y) and m₂ = mean(y Hy), so that H becomes
           (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ,  ρ = 1/⟨s, y⟩;
        2  it reads H ∇;
        3  it moves by s = −α H ∇.
    """

    rates: Array
    reads: int = eqx.field(static=True, default=1)
    writes: int = eqx.field(static=True, default=3)

    def init_row(self, n: int) -> Any:
        zeros = jnp.zeros(n, self.rates.dtype)
        return jnp.asarray(0), zeros, zeros

    def __call__(self, gradient: Array, results: Array, state: Any) -> Any:
        t, before, s = state
        i, y, n = results[0], gradient - before, gradient.size
        m = average(jnp.stack([s * y, y * i]), 2)
        updating = (t % 4 == 1) & (t > 4)
        m1, m2 = jnp.where(updating, m[0], 1.0), m[1]
        a = jnp.stack([(1 + m2 / m1) / m1 * s, -i / m1, -s / m1])
        b = jnp.stack([s, s, i]) / n
        moving = t % 4 == 3
        g = jnp.where(moving, -self.rates[t // 4] * i, 0.0)
        emitted = Emission(
            g, jnp.where(t % 4 == 2, gradient, y)[None], jnp.where(updating, a, 0), b
        )
        return emitted, (
            t + 1,
            jnp.where(moving, gradient, before),
            jnp.where(moving, g, s),
        )


def bfgs(gradient: Callable, theta: np.ndarray, rate: Callable) -> Any:
    """Textbook BFGS: θ, H and the step length α before each of some iterations."""
    H, found = np.eye(len(theta)), []
    g = gradient(theta)
    for k in range(ITERATIONS):
        alpha = rate(k, theta, -H @ g)
        found.append((theta, H, alpha))
        s = -alpha * H @ g
        theta, before = theta + s, g
        g = gradient(theta)
        y = g - before
        V = np.eye(len(s)) - np.outer(s, y) / (s @ y)
        H = V @ H @ V.T + np.outer(s, s) / (s @ y)
    return tuple(map(np.asarray, zip(*found, strict=True)))


def simulate(m: Any, gradient: Callable, theta: np.ndarray, rates: np.ndarray) -> Any:
    """θ and the state of m, driven by a BFGS controller, before each iteration's move."""
    m = eqx.tree_at(lambda m: m.controller, m, BFGS(jnp.asarray(rates)))

    def step(carry: Any, _: None) -> Any:
        theta, state = carry
        g, after = m.update(gradient(theta), state)
        return (theta + g, after), (theta, after)

    begin = jnp.asarray(theta), m.init(jnp.asarray(theta))
    run = jax.jit(lambda begin: jax.lax.scan(step, begin, length=4 * len(rates))[1])
    thetas, states = run(begin)
    return thetas[1::4], jax.tree.map(lambda x: x[1::4], states)


def quadratic() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A of condition number 100, the minimum and a start."""
    rng, n = np.random.default_rng(0), ITERATIONS + 1
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return Q @ np.diag(np.geomspace(0.1, 10.0, n)) @ Q.T, rng.normal(size=n), rng.normal(size=n)


A, MINIMUM, START = quadratic()
# Their controllers are exchanged.
HOLDERS = {
    False: NTMBFGS((1,), 1, key=KEY),
    True: NTMLBFGS((1,), 1, history=4 * ITERATIONS, key=KEY),
}


def exact_rate(k: int, theta: np.ndarray, direction: np.ndarray) -> float:
    return float((MINIMUM - theta) @ A @ direction / (direction @ A @ direction))


@pytest.mark.parametrize("rate", [exact_rate, lambda *_: 0.05], ids=["exact", "fixed"])
@pytest.mark.parametrize("low_memory", [False, True], ids=["NTM-BFGS", "NTM-L-BFGS"])
def test_with_one_read_head_three_write_heads_and_two_gacs_it_is_bfgs(
    rate: Callable, low_memory: bool
) -> None:
    """Appendix D. Its iterates and, in each iteration, its memory: BFGS's inverse Hessian."""
    thetas, Hs, rates = bfgs(lambda theta: A @ (theta - MINIMUM), START, rate)
    with jax.enable_x64(True):
        m = HOLDERS[low_memory]
        ours, states = simulate(m, lambda theta: jnp.asarray(A) @ (theta - MINIMUM), START, rates)
        memory = states.memory
        if low_memory:
            memory = np.eye(len(A)) + np.einsum("tkwi,tkwj->tij", memory.a, memory.b)
        assert memory.dtype == np.float64
        np.testing.assert_allclose(ours, thetas, rtol=0, atol=1e-8)
        np.testing.assert_allclose(memory, Hs, rtol=0, atol=1e-6)


def test_with_scipys_step_lengths_it_walks_scipys_way() -> None:
    """On Rosenbrock's function in three dimensions, to the inverse Hessian that SciPy returns."""
    optimize = pytest.importorskip("scipy.optimize")
    start, iterations = np.asarray([-1.2, 1.0, 0.5]), ITERATIONS - 1
    options = {"return_all": True, "maxiter": iterations}
    scipys = optimize.minimize(
        optimize.rosen, start, jac=optimize.rosen_der, method="BFGS", options=options
    )
    assert scipys.nit == iterations

    def rate(k: int, theta: np.ndarray, direction: np.ndarray) -> float:
        """SciPy's step length; beyond its last, any."""
        step = scipys.allvecs[k + 1] - theta if k < iterations else direction
        return float(step @ direction / (direction @ direction))

    def rosenbrock(x: jax.Array) -> jax.Array:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    _, _, rates = bfgs(optimize.rosen_der, start, rate)
    with jax.enable_x64(True):
        thetas, states = simulate(HOLDERS[False], jax.grad(rosenbrock), start, rates)
        np.testing.assert_allclose(thetas, scipys.allvecs, rtol=0, atol=1e-8)
        np.testing.assert_allclose(states.memory[-1], scipys.hess_inv, rtol=0, atol=1e-6)


def test_it_commutes_with_permutations_of_coordinates(assert_close: Callable) -> None:
    order = np.asarray([3, 5, 0, 1, 4, 2])
    updates, states = run(M, GRADIENTS)
    permuted, permuted_states = run(M, GRADIENTS[:, order])
    assert_close(permuted, updates[:, order])
    assert_close(permuted_states.memory, states.memory[:, order][:, :, order], rtol=1e-4)


def test_it_commutes_with_regrouping_of_leaves(assert_close: Callable) -> None:
    def regroup(g: jax.Array) -> Any:
        return (g[:, 0], g[:, 1:1], {"rest": g[:, 1:].reshape(STEPS, 5, 1)}, None)

    updates, states = run(M, GRADIENTS)
    regrouped, regrouped_states = run(M, regroup(GRADIENTS))
    assert_close(regrouped, regroup(updates))
    assert_close(regrouped_states, states)


def test_the_optimizees_of_a_batch_have_a_memory_each(assert_close: Callable) -> None:
    batch = jnp.stack([GRADIENTS, -2 * GRADIENTS], axis=1)
    together, states = run(M.over_batch(), batch)
    assert states.memory.shape == (STEPS, 2, N, N)
    for b in range(2):
        assert_close(together[:, b], run(M, batch[:, b])[0])


@pytest.mark.parametrize("gamma", [0.0, 2.5])
def test_the_memory_begins_as_gamma_times_the_identity(gamma: float) -> None:
    state = make(gamma=gamma).init({"w": jnp.ones((2, 2)), "b": jnp.ones(())})
    np.testing.assert_array_equal(state.memory, gamma * np.eye(5))
    assert not state.i.any()


@pytest.mark.parametrize("n", [10, 300])
def test_untrained_it_stays_near_where_the_memory_began(n: int) -> None:
    """By less than a tenth of M_0 in a hundred steps, whatever the number of coordinates."""
    gradients = 10 * jax.random.normal(KEY, (100, n))
    memory = run(NTMBFGS(key=KEY), gradients)[1].memory[-1]
    assert 1e-4 < np.linalg.norm(memory - np.eye(n), 2) < 0.1


@pytest.mark.parametrize("kind", [NTMBFGS, NTMLBFGS])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_every_head_learns_from_the_first(kind: type, gamma: float) -> None:
    m = kind((3,), 1, reads=2, writes=2, gamma=gamma, key=KEY)
    problem = Quadratic(dimension=3)

    @eqx.filter_jit
    def slope(m: Any) -> Any:
        begin = start_batch(m, problem, KEY, 2)
        return eqx.filter_grad(
            lambda m: meta_loss(m, problem, begin, KEY, num_problems=2, num_steps=4)[0]
        )(m)

    heads = slope(m).controller.heads
    assert np.isfinite(heads.weight).all()
    assert (np.abs(heads.weight).max(1) > 0).all()
    assert (np.abs(heads.bias) > 0).all()


def test_the_write_heads_begin_a_tenth_as_loud() -> None:
    weight = NTMBFGS((200,), writes=20, reads=40, key=KEY).controller.heads.weight
    assert weight.shape == (80, 200)
    assert np.std(weight[:40]) * np.sqrt(200) == pytest.approx(0.88, abs=0.02)
    assert np.std(weight[40:]) * np.sqrt(200) == pytest.approx(0.088, abs=0.002)


def test_a_theta_too_large_for_the_memory_is_refused(sentence: Callable) -> None:
    size = "763 MiB" if phi_dtype(make()) == np.float64 else "381 MiB"
    assert sentence(make().init, jnp.zeros((100, 100))) == (
        "θ has 10000 coordinates and ntm-bfgs takes at most 2048, as its memory of n × n would "
        f"fill {size}; try ntm-l-bfgs, or a higher limit"
    )
    assert sentence(make(limit=4).init, jnp.zeros(5)).startswith("θ has 5 coordinates")
    make(limit=5).init(jnp.zeros(5))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"reads": 0}, "reads is 0 and must be at least 1"),
        ({"writes": 0}, "writes is 0 and must be at least 1"),
        ({"gamma": -1.0}, "gamma is -1.0 and must be at least 0"),
        ({"limit": 0}, "limit is 0 and must be at least 1"),
        ({"layers": ()}, "layers is empty; give one layer or more, such as (20, 20)"),
    ],
)
def test_what_means_nothing_is_refused(options: Any, expected: str, sentence: Callable) -> None:
    assert sentence(NTMBFGS, **options, key=KEY) == expected
