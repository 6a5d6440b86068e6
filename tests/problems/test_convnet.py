"""The network of section 3.3, on images so small that NumPy can go over them place by place."""

from collections.abc import Callable
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.batch import Batch
from metadescent.problems.convnet import EPSILON, ConvNet, ConvNetClassification

KEY = jax.random.key(0)
WHITE = 16.0
IMAGES = np.random.default_rng(0).integers(0, 17, (12, 8, 4, 2), dtype=np.uint8)
LABELS = np.arange(12) % 3


def convnet(**options: Any) -> ConvNet:
    small = {"channels": (3, 2), "hidden": (5,), "kernel": 3, "white": WHITE, "theta_std": 0.5}
    return ConvNetClassification(IMAGES, LABELS, **{**small, **options}).sample(KEY)


# Compiled whole: operation by operation takes several times as long.
init = eqx.filter_jit(lambda f, key: f.init(key))
loss = eqx.filter_jit(lambda f, theta, key: f.loss(theta, key))
slope = eqx.filter_jit(lambda f, theta, key: jax.value_and_grad(f.loss)(theta, key))
cross_entropy = eqx.filter_jit(lambda f, theta, x, y: f.cross_entropy(theta, x, y))
_logits = eqx.filter_jit(lambda f, theta, x: f.logits(theta, x))


def logits(f: ConvNet, theta: Any, images: np.ndarray) -> np.ndarray:
    return np.asarray(_logits(f, theta, jnp.asarray(images)))


def drawn(f: ConvNet) -> Any:
    """θ with β drawn as well, lest a mistake in it go unnoticed."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(f.init, KEY)
    return jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype), shapes)


def change(theta: Any, name: str, index: int, leaf: str, by: Callable) -> Any:
    return eqx.tree_at(lambda t: t[name][index][leaf], theta, replace_fn=by)


def by_hand(theta: Any, images: np.ndarray) -> np.ndarray:
    """The logits, in double precision: every bias added, and BN and relu before the maximum."""
    theta = jax.tree.map(lambda x: np.asarray(x, np.float64), theta)

    def normalized(x: np.ndarray, beta: np.ndarray) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1])
        mean = rows.sum(0) / len(rows)
        variance = ((rows - mean) ** 2).sum(0) / len(rows)
        return (x - mean) / np.sqrt(variance + 1e-3) + beta

    x = images / WHITE
    for layer in theta["conv"]:
        n, height, width, _ = x.shape
        reach = layer["w"].shape[0] // 2
        y = np.zeros((n, height, width, layer["w"].shape[-1])) + layer["b"]
        for i, j, a, b in product(range(height), range(width), *[range(-reach, reach + 1)] * 2):
            if 0 <= i + a < height and 0 <= j + b < width:
                y[:, i, j] += x[:, i + a, j + b] @ layer["w"][a + reach, b + reach]
        y = np.maximum(normalized(y, layer["beta"]), 0)
        x = np.zeros((n, height // 2, width // 2, y.shape[-1]))
        for i, j in product(range(height // 2), range(width // 2)):
            x[:, i, j] = y[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2))
    x = x.reshape(len(x), -1)
    for layer in theta["fc"]:
        x = np.maximum(normalized(x @ layer["w"] + layer["b"], layer["beta"]), 0)
    return x @ theta["out"][0]["w"] + theta["out"][0]["b"]


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"channels": (4,), "hidden": (), "kernel": 1},
        {"channels": (), "hidden": (5, 4)},
        {"channels": (2, 3), "hidden": (5, 4), "kernel": 5},
    ],
)
def test_the_loss_is_the_cross_entropy(architecture: dict) -> None:
    f = convnet(**architecture)
    theta = drawn(f)
    expected = by_hand(theta, IMAGES)
    np.testing.assert_allclose(logits(f, theta, IMAGES), expected, rtol=1e-4, atol=1e-4)
    log_softmax = expected - np.log(np.exp(expected).sum(1, keepdims=True))
    entropy = cross_entropy(f, theta, jnp.asarray(IMAGES), jnp.asarray(LABELS))
    assert float(entropy) == pytest.approx(-log_softmax[np.arange(12), LABELS].mean(), rel=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    with jax.enable_x64(True):
        f = convnet()
        theta = drawn(f)
        assert theta["conv"][0]["w"].dtype == jnp.float64
        slopes = slope(f, theta, KEY)[1]
        rng = np.random.default_rng(2)
        # In NumPy, where nothing is compiled for each shape.
        theta, slopes = jax.tree.map(np.asarray, (theta, slopes))
        for _ in range(5):
            way = jax.tree.map(lambda x: rng.normal(size=x.shape), theta)
            ahead, behind = (
                float(slope(f, jax.tree.map(lambda x, d, h=h: x + h * d, theta, way), KEY)[0])
                for h in (1e-6, -1e-6)
            )
            expected = sum(map(np.vdot, jax.tree.leaves(slopes), jax.tree.leaves(way)))
            assert (ahead - behind) / 2e-6 == pytest.approx(float(expected), rel=1e-6)


def test_by_default_it_is_the_network_of_the_authors() -> None:
    images = np.zeros((4, 32, 32, 3), np.uint8)
    f = ConvNetClassification(images, np.array([0, 9, 3, 3])).sample(KEY)
    theta = init(f, KEY)
    shapes = {jax.tree_util.keystr(k): x.shape for k, x in jax.tree.leaves_with_path(theta)}
    vectors = {
        f"['{name}'][{i}]['{leaf}']": (size,)
        for name, i, size in [*(("conv", i, 16) for i in range(3)), ("fc", 0, 32)]
        for leaf in ("b", "beta")
    }
    assert shapes == vectors | {
        "['conv'][0]['w']": (5, 5, 3, 16),
        "['conv'][1]['w']": (5, 5, 16, 16),
        "['conv'][2]['w']": (5, 5, 16, 16),
        "['fc'][0]['w']": (256, 32),
        "['out'][0]['w']": (32, 10),
        "['out'][0]['b']": (10,),
    }
    assert sum(x.size for x in jax.tree.leaves(theta)) == 22_682
    assert f.batch_size == 128
    assert (EPSILON, f.theta_std, f.white) == (1e-3, 0.01, 255.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1),
        ({"channels": (8, 8), "batch_size": 32}, 4),
        ({"channels": (8,), "batch_size": 8}, None),
        ({"channels": ()}, None),
    ],
)
def test_so_many_networks_learn_at_once_as_a_cache_holds(
    options: dict[str, Any], expected: int | None
) -> None:
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 9, 3, 3])
    assert ConvNetClassification(images, labels, **options).at_once == expected


def test_theta_0_is_drawn_number_by_number_and_beta_is_0() -> None:
    theta = init(convnet(channels=(40, 30), hidden=(50,), theta_std=0.1), KEY)
    rest, betas = [], []
    for layer in [*theta["conv"], *theta["fc"], *theta["out"]]:
        rest += [np.ravel(layer["w"]), np.ravel(layer["b"])]
        betas += [layer["beta"]] if "beta" in layer else []
    assert len(betas) == 3
    assert not any(beta.any() for beta in betas)
    values = np.concatenate(rest)
    assert np.std(values) == pytest.approx(0.1, rel=0.05)
    assert len(np.unique(values)) > 0.99 * len(values)


@pytest.mark.parametrize(("name", "index"), [("conv", 0), ("conv", 1), ("fc", 0)])
def test_batch_normalization_takes_scale_and_bias_away(name: str, index: int) -> None:
    """Exactly for ε = 0, and ε is next to nothing where weights are large."""
    f = convnet()
    theta = change(drawn(f), name, index, "w", lambda w: 100 * w)
    moved = change(theta, name, index, "w", lambda w: 7 * w)
    moved = change(moved, name, index, "b", lambda b: b + 3)
    actual, expected = (logits(f, t, IMAGES) for t in (moved, theta))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)
    # Not so for another sign, nor for β.
    flipped = change(theta, name, index, "w", lambda w: -w)
    shifted = change(theta, name, index, "beta", lambda beta: beta + 1)
    for changed in (flipped, shifted):
        assert np.abs(logits(f, changed, IMAGES) - expected).max() > 0.1


def test_the_gradient_of_a_bias_under_normalization_is_0() -> None:
    f = convnet()
    slopes = slope(f, drawn(f), KEY)[1]
    for layer in [*slopes["conv"], *slopes["fc"]]:
        assert not layer["b"].any()
        assert layer["w"].any()
    assert slopes["out"][0]["b"].any()


def test_the_order_of_a_minibatch_is_of_no_account() -> None:
    f = convnet()
    theta, order = drawn(f), np.random.default_rng(3).permutation(12)
    expected = logits(f, theta, IMAGES)[order]
    np.testing.assert_allclose(logits(f, theta, IMAGES[order]), expected, rtol=1e-4, atol=1e-5)


def test_an_image_depends_on_the_company_it_is_in() -> None:
    f = convnet()
    theta = drawn(f)
    first, second = (logits(f, theta, IMAGES[:n])[0] for n in (6, 12))
    assert np.abs(first - second).max() > 1e-3


def test_at_theta_0_every_class_is_as_likely() -> None:
    f = convnet(theta_std=0.0)
    assert float(loss(f, init(f, KEY), KEY)) == pytest.approx(np.log(3), rel=1e-6)


def test_a_minibatch_is_drawn_by_the_key_with_replacement() -> None:
    f = convnet(batch_size=40)
    theta = drawn(f)
    losses = [float(loss(f, theta, jax.random.key(seed))) for seed in (0, 1, 2, 0)]
    assert len(set(losses[:3])) == 3
    assert losses[3] == losses[0]


def test_images_stay_bytes_and_the_problem_is_one_f() -> None:
    problem = ConvNetClassification(IMAGES, LABELS, channels=(3,))
    f = problem.sample(KEY)
    assert f.images.dtype == jnp.uint8
    assert f is problem.sample(jax.random.key(1))
    fs = Batch.sample(problem, KEY, 3)
    assert fs.shared.images is f.images
    assert fs.shared.labels is f.labels
    assert not jax.tree.leaves(fs.own)


def test_held_out_images_are_another_problem_of_the_same_network(assert_close: Callable) -> None:
    seen, held_out = (
        ConvNetClassification(IMAGES[part], LABELS[part], channels=(3,), classes=4).sample(KEY)
        for part in (slice(0, 8), slice(8, 10))
    )
    assert_close(init(seen, KEY), init(held_out, KEY))
    theta, given = drawn(seen), (jnp.asarray(IMAGES[8:10]), jnp.asarray(LABELS[8:10]))
    expected = cross_entropy(held_out, theta, *given)
    assert float(cross_entropy(seen, theta, *given)) == float(expected)
    # Of two examples a minibatch of many holds as many of either, or nearly so.
    assert float(loss(held_out, theta, KEY)) == pytest.approx(float(expected), rel=0.2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"channels": (3, 0)}, "channels is 0 and must be at least 1"),
        ({"hidden": (0,)}, "hidden is 0 and must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0 and must be at least 1"),
        ({"kernel": 4}, "kernel is 4 and must be odd; try 3 or 5"),
        (
            {"channels": (3, 3, 3)},
            "channels has 3 layers, and images of 8 × 4 pixels can be halved only 2 times; "
            "try at most 2 layers",
        ),
        ({"classes": 2}, "there is a label 2, and 2 classes end at 1; try classes=3"),
    ],
)
def test_what_does_not_fit(options: dict, expected: str, sentence: Callable) -> None:
    small = {"channels": (3,)} | options
    assert sentence(ConvNetClassification, IMAGES, LABELS, **small) == expected
