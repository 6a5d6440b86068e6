"""Networks begun by fan-in: another θ₀ and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from metadescent.problems.base import Optimizee
from metadescent.problems.batch import Batch
from metadescent.problems.classifier import Classifier, MLPClassification
from metadescent.problems.convnet import ConvNet
from metadescent.problems.fan_in import BegunByFanIn, FanIn, make_classifiers
from metadescent.problems.logarithm import LogFunction
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_problem

KEY = jax.random.key(0)


class Leaves(Optimizee):
    """f = Σ θ², of leaves of all kinds."""

    def init(self, key: jax.Array) -> Any:
        del key
        return {
            "dense": jnp.ones((50, 60)),
            "conv": jnp.ones((3, 3, 7, 40)),
            "like": jnp.ones((50, 60)),
            "half": jnp.ones((50, 60), jnp.bfloat16),
            "bias": jnp.ones(40),
            "scalar": jnp.ones(()),
            "none": jnp.ones((0, 2)),
        }

    def loss(self, theta: Any, key: jax.Array) -> jax.Array:
        del key
        return sum((jnp.sum(x.astype(float) ** 2) for x in jax.tree.leaves(theta)), jnp.zeros(()))


def perceptrons() -> MLPClassification:
    images = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    return MLPClassification(images, np.arange(8) % 2, (2,), batch_size=4, theta_std=1.0)


@pytest.fixture(scope="module")
def theta() -> Any:
    return BegunByFanIn(Leaves()).init(KEY)


@pytest.mark.parametrize(("name", "inputs"), [("dense", 50), ("conv", 63), ("like", 50)])
def test_weights_are_uniform_within_one_over_the_root_of_the_inputs(
    name: str, inputs: int, theta: Any
) -> None:
    w = np.asarray(theta[name]).ravel() * inputs**0.5
    assert abs(w).max() <= 1 + 1e-6
    assert kstest(w, "uniform", (-1, 2)).pvalue > 0.01


@pytest.mark.parametrize("inputs", [4, 900])
def test_what_reaches_a_unit_is_of_one_size_at_any_width(inputs: int) -> None:
    """E (w·x)² = mean x² / 3."""
    images = np.full((2, inputs), 255, np.uint8)
    f = FanIn(MLPClassification(images, np.arange(2), (2000,))).sample(KEY)
    (w, _), _ = f.init(KEY)
    assert float(jnp.mean(w.sum(0) ** 2)) == pytest.approx(1 / 3, rel=0.1)


@pytest.mark.parametrize("name", ["bias", "scalar"])
def test_tensors_of_one_axis_or_none_begin_at_0(name: str, theta: Any) -> None:
    assert not theta[name].any()


def test_shapes_and_dtypes_are_those_of_f(theta: Any) -> None:
    shapes = jax.eval_shape(Leaves().init, KEY)
    assert jax.eval_shape(lambda: theta) == shapes


def test_leaves_and_keys_are_drawn_apart(theta: Any) -> None:
    redrawn = BegunByFanIn(Leaves()).init(jax.random.key(1))
    for a, b in [(theta["dense"], theta["like"]), (theta["dense"], redrawn["dense"])]:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1


def test_f_is_what_it_was(assert_same_bits: Callable) -> None:
    inner, f = perceptrons().sample(KEY), FanIn(perceptrons()).sample(KEY)
    slope = eqx.filter_jit(lambda f, theta: jax.value_and_grad(f.loss)(theta, KEY))
    theta = eqx.filter_jit(lambda f: f.init(KEY))(f)
    ours, plain = slope(f, theta), slope(inner, theta)
    assert_same_bits(ours, plain)


def test_the_key_draws_the_f_that_it_draws_without(assert_same_bits: Callable) -> None:
    problem = Quadratic(dimension=3)
    assert_same_bits(FanIn(problem).sample(KEY).f, problem.sample(KEY))


def test_each_of_a_batch_has_a_start_of_its_own_and_the_data_is_shared() -> None:
    mlp = perceptrons()
    fs = Batch.sample(FanIn(mlp), KEY, 3)
    assert fs.shared.f.images is mlp.f.images
    (w, b), _ = fs.init(KEY)
    assert w.shape == (3, 3, 2)
    assert len(np.unique(w)) == w.size
    assert not b.any()


# The five.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of noise."""
    folder = tmp_path_factory.mktemp("mnist")
    pixels = np.random.default_rng(0).integers(0, 256, 10 * 784, dtype=np.uint8).tobytes()
    head = bytes([0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 28, 0, 0, 0, 28])
    (folder / "train-images-idx3-ubyte").write_bytes(head + pixels)
    (folder / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 10, *range(10)]))
    return folder


def test_the_five_classifiers_are_of_the_shapes_that_are_said(folder: Path) -> None:
    five = make_classifiers(data_dir=folder).sample(KEY)
    linear, sigmoid, relu, wide, convolutional = five.parts
    shapes = jax.tree.map(jnp.shape, jax.eval_shape(five.init, KEY))
    assert shapes[0] == [((784, 10), (10,))]
    assert shapes[1] == [((784, 32), (32,)), ((32, 10), (10,))]
    assert shapes[2] == [((784, 32), (32,)), ((32, 32), (32,)), ((32, 10), (10,))]
    assert shapes[3] == [((196, 256), (256,)), ((256, 10), (10,))]
    assert {name: [layer["w"] for layer in layers] for name, layers in shapes[4].items()} == {
        "conv": [(3, 3, 1, 6), (3, 3, 6, 12)],
        "fc": [(7 * 7 * 12, 24)],
        "out": [(24, 10)],
    }
    assert all(isinstance(part, BegunByFanIn) for part in five.parts)
    assert all(isinstance(part.f, Classifier) for part in (linear, sigmoid, relu, wide))
    assert isinstance(convolutional.f, ConvNet)
    assert [part.f.batch_size for part in five.parts] == [64, 64, 64, 64, 32]
    assert [part.f.activation for part in (sigmoid, relu, wide)] == ["sigmoid", "relu", "relu"]


def test_in_four_dimensions_an_image_is_the_same_image(folder: Path) -> None:
    *_, relu, wide, convolutional = make_classifiers(data_dir=folder).sample(KEY).parts
    np.testing.assert_array_equal(convolutional.f.images.reshape(10, 784), relu.f.images)
    coarse = convolutional.f.images[:, ::2, ::2].reshape(10, 196)
    np.testing.assert_array_equal(wide.f.images, coarse)
    np.testing.assert_array_equal(convolutional.f.labels, relu.f.labels)


def test_by_its_option_each_counts_by_its_logarithm(folder: Path) -> None:
    five = make_problem("mnist-classifiers(log=True)", folder).sample(KEY)
    assert all(isinstance(part, LogFunction) for part in five.parts)
    assert all(isinstance(part.f, BegunByFanIn) for part in five.parts)
