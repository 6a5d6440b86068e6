"""What must be true of every problem that discovery finds, a new one among them."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.problems.base import Named, Optimizee, Problem
from metadescent.problems.batch import Batch
from metadescent.registry import make_optimizer, problems
from metadescent.runs.recipe import Recipe

KEY, OTHER = jax.random.split(jax.random.key(0))
REAL_DATA = os.environ.get("METADESCENT_DATA")


def write_mnist(folder: Path) -> None:
    """Twenty images of noise in place of sixty thousand."""
    images = np.random.default_rng(0).integers(0, 256, 20 * 784, dtype=np.uint8).tobytes()
    for name, head, values in (
        ("train-images-idx3-ubyte", [3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28], images),
        ("train-labels-idx1-ubyte", [1, 0, 0, 0, 20], bytes(range(10)) * 2),
    ):
        (folder / name).write_bytes(bytes([0, 0, 8, *head]) + values)


def write_cifar10(folder: Path) -> None:
    """Fifty images of noise in place of fifty thousand."""
    records = np.random.default_rng(0).integers(0, 256, (5, 10, 3073), dtype=np.uint8)
    records[:, :, 0] = range(10)
    for batch, content in enumerate(records, start=1):
        (folder / f"data_batch_{batch}.bin").write_bytes(content.tobytes())


# Several networks, one beside the other.
LONG = {"mnist-classifiers", "assorted"}
IN_TURN = [
    pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in problems()
]


@pytest.fixture(scope="module", params=IN_TURN)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def named(name: str) -> Named:
    return problems()[name]


@pytest.fixture(scope="module")
def problem(named: Named, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """The problem with its defaults, on small data where it reads any that can be stood in for."""
    import pooch

    def no_network(url: str, **_: Any) -> str:
        raise ConnectionError(url)

    folder = tmp_path_factory.mktemp("data")
    write_mnist(folder)
    write_cifar10(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooch, "retrieve", no_network)
        reason = None
        for data in (str(folder), REAL_DATA):
            patch.setenv("METADESCENT_DATA", data or str(folder))
            try:
                return named.make()
            except UserError as error:
                reason = error
    pytest.skip(str(reason))


def drawing(problem: Problem) -> Callable[[jax.Array], tuple[Optimizee, Any, jax.Array]]:
    """Return what draws f, θ₀ and f(θ₀) by one key.

    Compiled whole: operation by operation takes several times as long.
    """

    @eqx.filter_jit
    def draw(problem: Problem, key: jax.Array) -> tuple[Optimizee, Any, jax.Array]:
        f = problem.sample(key)
        theta = f.init(key)
        return f, theta, f.loss(theta, key)

    return partial(draw, problem)


@pytest.fixture(scope="module")
def draw(problem: Problem) -> Callable[[jax.Array], tuple[Optimizee, Any, jax.Array]]:
    return drawing(problem)


@pytest.fixture(scope="module")
def f(draw: Callable) -> Optimizee:
    return draw(KEY)[0]


@pytest.fixture(scope="module")
def init(f: Optimizee) -> Callable[[jax.Array], Any]:
    return jax.jit(lambda key: f.init(key))


@pytest.fixture(scope="module")
def theta(draw: Callable) -> Any:
    return draw(KEY)[1]


@pytest.fixture(scope="module")
def slope(f: Optimizee) -> Callable[[Any], tuple[jax.Array, Any]]:
    """f and its gradient, at any θ."""
    return jax.jit(lambda theta: jax.value_and_grad(f.loss)(theta, KEY))


@pytest.fixture(scope="module")
def value_and_gradient(slope: Callable, theta: Any) -> tuple[jax.Array, Any]:
    return slope(theta)


def arrays(tree: Any) -> Any:
    return eqx.filter(tree, eqx.is_array)


def test_the_same_key_is_the_same_f(
    problem: Problem, f: Optimizee, theta: Any, assert_same_bits: Callable
) -> None:
    # Traced anew: what is drawn by something else than the key would be drawn anew too.
    again, same_theta, _ = drawing(problem)(KEY)
    assert_same_bits(arrays(again), arrays(f))
    assert_same_bits(same_theta, theta)


def test_another_key_is_another_start(init: Callable[[jax.Array], Any], theta: Any) -> None:
    pairs = zip(jax.tree.leaves(theta), jax.tree.leaves(init(OTHER)), strict=True)
    assert any(not np.array_equal(a, b) for a, b in pairs)


def test_theta_is_finite_floating_point_numbers(theta: Any) -> None:
    leaves = jax.tree.leaves(theta)
    assert leaves
    for leaf in leaves:
        assert jnp.issubdtype(leaf.dtype, jnp.floating)
        assert np.isfinite(leaf).all()


def test_the_loss_is_a_finite_scalar_with_a_finite_gradient(
    theta: Any, value_and_gradient: tuple[jax.Array, Any]
) -> None:
    loss, gradient = value_and_gradient
    assert loss.shape == ()
    assert jnp.issubdtype(loss.dtype, jnp.floating)
    assert np.isfinite(loss)
    assert jax.tree.structure(gradient) == jax.tree.structure(theta)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradient))


def test_a_small_step_downhill_goes_down(
    slope: Callable, theta: Any, value_and_gradient: tuple[jax.Array, Any]
) -> None:
    loss, gradient = value_and_gradient
    squared = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient))
    # By a thousandth of the loss, were f a plane.
    rate = 1e-3 * abs(float(loss)) / squared
    below = jax.tree.map(lambda x, g: x - rate * g, theta, gradient)
    assert float(slope(below)[0]) < float(loss)


def test_f_goes_through_jit_as_an_argument(
    f: Optimizee, theta: Any, value_and_gradient: tuple[jax.Array, Any]
) -> None:
    loss = eqx.filter_jit(lambda f, theta, key: f.loss(theta, key))(f, theta, KEY)
    np.testing.assert_allclose(loss, value_and_gradient[0], rtol=1e-5)


def test_a_batch_is_its_optimizees_one_by_one(
    problem: Problem, draw: Callable, assert_close: Callable
) -> None:
    @eqx.filter_jit
    def batch(problem: Problem) -> tuple[Any, jax.Array]:
        fs = Batch.sample(problem, KEY, 2)
        thetas = fs.init(KEY)
        return thetas, fs.loss(thetas, KEY)

    thetas, losses = batch(problem)
    assert losses.shape == (2,)
    for b, key in enumerate(jax.random.split(KEY, 2)):
        _, theta, loss = draw(key)
        assert_close(jax.tree.map(lambda x, b=b: x[b], thetas), theta)
        assert_close(losses[b], loss, rtol=1e-4)


def test_what_the_problem_holds_is_not_copied_for_each_f(problem: Problem) -> None:
    def check(problem: Problem) -> None:
        held = {id(leaf) for leaf in jax.tree.leaves(problem)}
        for leaf in jax.tree.leaves(eqx.filter(problem.sample(KEY), eqx.is_array)):
            # Anything large was handed through from the problem, or is drawn with the key.
            if id(leaf) not in held:
                assert leaf.size < 1_000_000
        fs = Batch.sample(problem, KEY, 3)
        for leaf in jax.tree.leaves(eqx.filter(fs.shared, eqx.is_array)):
            assert id(leaf) in held
        for leaf in jax.tree.leaves(fs.own):
            assert leaf.shape[0] == 3

    # Traced and not computed, as in every program that draws a batch.
    eqx.filter_eval_shape(check, problem)


def test_its_recipe_differs_from_the_defaults_in_things_that_exist(named: Named) -> None:
    defaults = dataclasses.asdict(Recipe())
    assert named.recipe.keys() <= defaults.keys()
    recipe = Recipe(**named.recipe)
    assert recipe.steps % recipe.unroll == 0
    eqx.filter_eval_shape(lambda key: make_optimizer(recipe.optimizer, key), KEY)


def test_its_summary_is_one_line(named: Named) -> None:
    assert 0 < len(named.summary) <= 80
    assert "\n" not in named.summary
