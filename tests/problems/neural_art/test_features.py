"""The feature networks against NumPy, layer by layer, on weights drawn at random."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.data.networks import MEAN
from metadescent.problems.neural_art import features, squeezenet, vgg19
from metadescent.problems.neural_art.features import (
    FeatureNetwork,
    gram,
    halved,
    mirrored,
    windows,
)


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that keep the size of what goes through."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 100
        arrays[name] = rng.normal(size=shape, scale=np.sqrt(2 / fan_in)).astype(np.float32)
    return arrays


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (height, width, 3)).astype(np.float32)


def seen(x: np.ndarray, size: int, stride: int, side: int) -> np.ndarray:
    """What a window sees at each place: height × width × channels × size × size."""
    x = np.pad(x, ((side, side), (side, side), (0, 0)), mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::stride, ::stride]


def convolved(x: np.ndarray, arrays: dict, layer: str, stride: int = 1) -> np.ndarray:
    kernel, bias = arrays[f"{layer}.kernel"], arrays[f"{layer}.bias"]
    places = seen(x, len(kernel), stride, len(kernel) // 2)
    return np.maximum(np.einsum("hwcij,ijco->hwo", places, kernel, optimize=True) + bias, 0)


def halved_by_hand(x: np.ndarray) -> np.ndarray:
    weights = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    x = np.pad(x, (*[(0, side % 2) for side in x.shape[:2]], (0, 0)), mode="reflect")
    return np.einsum("hwcij,ij->hwc", seen(x, 4, 2, 1), weights.astype(np.float32))


def vgg19_by_hand(
    pixels: np.ndarray, arrays: dict, depth: int, smooth: bool
) -> dict[str, np.ndarray]:
    x, features = pixels[..., ::-1] - np.float32(MEAN), {}
    for layer in vgg19.LAYERS[:depth]:
        if layer in ("conv2_1", "conv3_1", "conv4_1", "conv5_1"):
            odd = [(0, side % 2) for side in x.shape[:2]]
            padded = np.pad(x, (*odd, (0, 0)), mode="reflect")
            x = halved_by_hand(x) if smooth else seen(padded, 2, 2, 0).mean((-2, -1))
        x = features[layer] = convolved(x, arrays, layer)
    return features


def squeezenet_by_hand(pixels: np.ndarray, arrays: dict, smooth: bool) -> dict[str, np.ndarray]:
    stride = 1 if smooth else 2
    x = convolved(pixels[..., ::-1] - np.float32(MEAN), arrays, "conv1", stride)
    features = {"conv1": x}
    if smooth:
        x = halved_by_hand(x)
    for layer in squeezenet.LAYERS[1:]:
        pooled = layer in ("fire2", "fire4", "fire6")
        if pooled and smooth:
            x = halved_by_hand(seen(x, 3, 1, 1).max((-2, -1)))
        elif pooled:
            maxima = seen(x, 3, 1, 1).max((-2, -1))
            for axis, side in enumerate(x.shape[:2]):
                late = side % 2 == 0 and layer != "fire4"
                maxima = np.take(maxima, range(int(late), side, 2), axis)
            x = maxima
        squeezed = convolved(x, arrays, f"{layer}.squeeze1x1")
        parts = [convolved(squeezed, arrays, f"{layer}.{part}") for part in squeezenet.PARTS[1:]]
        x = features[layer] = np.concatenate(parts, axis=-1)
    return features


def assert_same(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    for layer, array in expected.items():
        assert actual[layer].shape == array.shape, layer
        scale = np.abs(array).max()
        np.testing.assert_allclose(actual[layer] / scale, array / scale, atol=2e-5, err_msg=layer)


FORMS = pytest.mark.parametrize(("few", "smooth"), [(0, False), (1000, False), (1000, True)])


@FORMS
def test_squeezenet_is_what_its_graph_says(
    few: int, smooth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "FEW_PLACES", few)
    arrays, pixels = drawn(squeezenet.SHAPES), picture(33, 20)
    network = squeezenet.SqueezeNet(arrays, smooth)
    actual = jax.jit(lambda x: network(x, squeezenet.LAYERS))(pixels)
    assert_same(actual, squeezenet_by_hand(pixels, arrays, smooth))


@FORMS
def test_vgg19_is_what_its_graph_says(
    few: int, smooth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "FEW_PLACES", few)
    arrays, pixels = drawn(vgg19.SHAPES), picture(9, 6)
    network, layers = vgg19.VGG19(arrays, smooth), vgg19.LAYERS[:5]
    actual = jax.jit(lambda x: network(x, layers))(pixels)
    assert_same(actual, vgg19_by_hand(pixels, arrays, 5, smooth))


@pytest.mark.parametrize("shape", [(12, 10), (7, 4), (1, 2)])
def test_a_halving_neither_sees_a_grid_nor_makes_one(shape: tuple[int, int]) -> None:
    """It keeps a constant, sees nothing alternate, and pulls back by bilinear interpolation."""
    i, j = np.indices(shape, np.float32)[..., None]
    half = jax.jit(lambda x: halved(x[None])[0])
    np.testing.assert_array_equal(
        half(np.ones_like(i)), np.ones([(n + 1) // 2 for n in shape] + [1])
    )
    for grid in ((-1) ** i, (-1) ** j, (-1) ** (i + j)):
        inside = np.asarray(half(grid))[1:-1, 1:-1]
        np.testing.assert_array_equal(inside, np.zeros_like(inside))
    down, across = np.indices([(n + 1) // 2 for n in shape], np.float32)[..., None]
    (pulled,) = jax.vjp(half, i)[1](jnp.asarray(3 + 4 * down - 8 * across))
    ramp = (3 + 2 * (i - 0.5) - 4 * (j - 0.5)) / 4
    np.testing.assert_allclose(pulled[2:-3, 2:-3], ramp[2:-3, 2:-3], rtol=1e-5)


def test_a_layer_sees_a_window_of_its_size() -> None:
    """conv2_1: 3 + 2 pixels by two convolutions, 1 by the mean, 4 by one at half resolution."""
    ones = {name: np.ones(shape, np.float32) for name, shape in vgg19.SHAPES.items()}
    network = vgg19.VGG19(ones)

    def middle(x: jax.Array) -> jax.Array:
        return network(x, ["conv2_1"])["conv2_1"][6, 6, 0]

    slope = np.asarray(jax.jit(jax.grad(middle))(jnp.full((24, 24, 3), 255.0)))
    reached = slope[:, :, 0] != 0
    assert [int(reached.any(axis).sum()) for axis in (0, 1)] == [10, 10]


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [(squeezenet.SqueezeNet, squeezenet.SHAPES), (vgg19.VGG19, vgg19.SHAPES)],
)
@pytest.mark.parametrize("smooth", [False, True])
def test_all_that_style_and_content_take_is_there_at_the_least_size(
    kind: Callable, shapes: dict, smooth: bool
) -> None:
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    network: FeatureNetwork = kind(zeros, smooth)
    layers = (*network.style_layers, network.content_layer)
    size = network.least_size
    shapes = jax.eval_shape(lambda x: network(x, layers), jnp.zeros((size, size, 3)))
    assert set(shapes) == set(layers)
    assert all(min(maps.shape) > 0 for maps in shapes.values())


def test_of_a_network_only_what_is_asked_for_is_computed() -> None:
    network = vgg19.VGG19(drawn(vgg19.SHAPES))
    jaxpr = str(jax.make_jaxpr(lambda x: network(x, ["conv1_1"]))(picture(20, 20)))
    assert "512" not in jaxpr


def test_a_gram_matrix_knows_no_places() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    shuffled = np.random.default_rng(1).permutation(maps.reshape(24, 3)).reshape(6, 4, 3)
    np.testing.assert_allclose(gram(jnp.asarray(shuffled)), gram(jnp.asarray(maps)), rtol=1e-5)
    np.testing.assert_allclose(
        gram(jnp.asarray(np.tile(maps, (2, 3, 1)))), gram(jnp.asarray(maps)), rtol=1e-5
    )


def test_of_one_place_the_mirror_image_is_itself() -> None:
    x = jnp.full((1, 1, 1, 2), 7.0)
    np.testing.assert_array_equal(mirrored(x, 1, 1), np.full((1, 3, 3, 2), 7.0))


def test_windows_leave_out_what_they_would_fall_off_of() -> None:
    x = jnp.arange(30.0).reshape(1, 5, 6, 1)
    actual = jnp.stack(windows(x, 3, 2), -1)[0, :, :, 0]
    expected = np.lib.stride_tricks.sliding_window_view(np.asarray(x[0, :, :, 0]), (3, 3))[::2, ::2]
    np.testing.assert_array_equal(actual, expected.reshape(2, 2, 9))
