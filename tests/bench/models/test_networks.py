"""Networks do what their formulas say, by another way to compute them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.bench.models.attention import (
    LetterTransformer,
    PatchReader,
    transformer_block,
    transformer_plan,
)
from metadescent.bench.models.categorical import Categorical
from metadescent.bench.models.convolutional import (
    Convolutional,
    Residual,
    in_patches,
    max_pooled,
)
from metadescent.bench.models.factorised import Factorised
from metadescent.bench.models.layers import apply_affine, drawn, normalize
from metadescent.bench.models.ngram import NGram
from metadescent.bench.models.perceptron import MLP, DeepLinear
from metadescent.bench.models.recurrent import LetterReader, RowReader, cell_plan, recur

KEY, OTHER = jax.random.split(jax.random.key(0))


def test_a_perceptron_is_its_layers_in_turn() -> None:
    network = MLP((4, 3, 2), "tanh")
    theta = drawn(KEY, network.plan())
    x = jax.random.normal(OTHER, (5, 2, 2))
    hidden = np.tanh(np.asarray(x).reshape(5, 4) @ theta[0]["w"])
    np.testing.assert_allclose(network.apply(theta, x, None), hidden @ theta[1]["w"], rtol=1e-5)


def test_dropout_is_drawn_by_the_key_and_not_in_measurements() -> None:
    network = MLP((4, 50, 50, 2), dropout=0.5)
    theta, x = drawn(KEY, network.plan()), jnp.ones((3, 4))
    measured = [network.apply(theta, x, None) for _ in range(2)]
    np.testing.assert_array_equal(*measured)
    dropped = [network.apply(theta, x, key) for key in (KEY, OTHER)]
    assert (dropped[0] != dropped[1]).all()
    np.testing.assert_array_equal(dropped[0], network.apply(theta, x, KEY))


def test_linear_maps_in_a_row_are_one() -> None:
    network = DeepLinear((3, 4, 2))
    theta = drawn(KEY, network.plan())
    expected = jnp.eye(3) @ theta[0] @ theta[1]
    np.testing.assert_allclose(network.apply(theta, jnp.eye(3), None), expected, rtol=1e-5)


def test_patches_are_squares() -> None:
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    patches = in_patches(x, 2)
    assert patches.shape == (1, 2, 2, 4)
    assert patches[0, 0, 1].tolist() == [2, 3, 6, 7]
    assert max_pooled(x)[0, ..., 0].tolist() == [[5, 7], [13, 15]]


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_convolutional_network_is_its_layers_in_turn(norm) -> None:
    network = Convolutional((8, 8, 3), (4, 5, 6), norm=norm, patch=2)
    theta = drawn(KEY, network.plan())
    x = jax.random.normal(OTHER, (2, 8, 8, 3))
    y = x
    for number, layer in enumerate(theta["conv"]):
        w = layer["w"]
        if number == 0:  # patches of 2 × 2 are a convolution of stride 2
            w, stride = w.reshape(2, 2, 3, 4), 2
        else:
            stride = 1
        form = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(y, w, (stride, stride), "SAME", dimension_numbers=form)
        y = jax.nn.relu(normalize(norm, layer, y))
        y = max_pooled(y) if number else y
    (out,) = theta["out"]
    expected = apply_affine(out, y.reshape(2, -1))
    np.testing.assert_allclose(network.apply(theta, x, None), expected, rtol=2e-4, atol=1e-5)


def test_residual_blocks_with_filters_of_0_do_nothing() -> None:
    network = Residual(3, 4, 2)
    theta = drawn(KEY, network.plan())
    x = jax.random.normal(OTHER, (2, 4, 4, 3))
    still = theta | {
        "conv": [
            theta["conv"][0],
            *[{**layer, "scale": jnp.zeros(4)} for layer in theta["conv"][1:]],
        ]
    }
    without = {"conv": theta["conv"][:1], "out": theta["out"]}
    np.testing.assert_allclose(
        network.apply(still, x, None), Residual(3, 4, 0).apply(without, x, None), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_cell_is_its_formula_time_by_time(kind) -> None:
    cell = drawn(KEY, cell_plan(kind, 3, 4))
    x = np.asarray(jax.random.normal(OTHER, (2, 11, 3)))
    w, u, b = (np.asarray(cell[name]) for name in "wub")
    h, c = np.zeros((2, 4)), np.zeros((2, 4))
    expected = []

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    for t in range(11):
        a, r = np.split(x[:, t] @ w + b, w.shape[1] // 4, 1), np.split(h @ u, w.shape[1] // 4, 1)
        if kind == "rnn":
            h = np.tanh(a[0] + r[0])
        elif kind == "gru":
            z = sigmoid(a[1] + r[1])
            h = z * h + (1 - z) * np.tanh(a[2] + sigmoid(a[0] + r[0]) * r[2])
        else:
            i, f, g, o = (p + q for p, q in zip(a, r, strict=True))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    np.testing.assert_allclose(
        recur(kind, cell, jnp.asarray(x)), np.stack(expected, 1), rtol=1e-4, atol=1e-6
    )


def test_an_lstm_begins_by_keeping_what_it_has() -> None:
    assert cell_plan("lstm", 3, 2)["b"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert not cell_plan("gru", 3, 2)["b"].any()


def test_attention_is_a_mean_by_likeness() -> None:
    """One head, in NumPy; a causal one does not look ahead."""
    block = drawn(KEY, transformer_plan(4))
    block |= {"mlp_out": jax.tree.map(jnp.zeros_like, block["mlp_out"])}
    x = jax.random.normal(OTHER, (1, 5, 4))
    seen = np.asarray(normalize("layer", block["attention_norm"], x))[0]
    q, k, v = np.split(seen @ np.asarray(block["attention_in"]["w"]), 3, 1)
    odds = np.exp(q @ k.T / 2)  # √4
    for is_causal in (False, True):
        allowed = odds * (np.tril(np.ones((5, 5))) if is_causal else 1)
        mixed = allowed / allowed.sum(1, keepdims=True) @ v
        expected = np.asarray(x)[0] + mixed @ np.asarray(block["attention_out"]["w"])
        y = transformer_block(block, x, 1, is_causal=is_causal)[0]
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", [LetterReader("gru", 7, 3, 4), LetterTransformer(7, 6, 8, 2)])
def test_no_letter_is_foretold_from_later_ones(network) -> None:
    theta = drawn(KEY, network.plan())
    text = jnp.asarray([[1, 2, 3, 4, 5, 6]])
    logits = network.apply(theta, text, None)
    changed = network.apply(theta, text.at[0, 4].set(0), None)
    assert logits.shape == (1, 6, 7)
    np.testing.assert_allclose(logits[:, :4], changed[:, :4], rtol=1e-5, atol=1e-6)
    assert abs(logits[:, 4:] - changed[:, 4:]).max() > 1e-4


@pytest.mark.parametrize("kind", ["transformer", "mixer"])
def test_each_patch_and_its_place_count(kind) -> None:
    network = PatchReader(kind, 4, 2, 8, 1, 2)
    theta = drawn(KEY, network.plan())
    x = jax.random.normal(OTHER, (1, 4, 4, 1))
    logits = network.apply(theta, x, None)
    assert logits.shape == (1, 10)
    # Two patches change places.
    swapped = jnp.concatenate([x[:, :, 2:], x[:, :, :2]], 2)
    assert abs(network.apply(theta, swapped, None) - logits).max() > 1e-5


def test_the_last_row_is_read_after_all_others() -> None:
    network = RowReader("rnn", 3, 4)
    theta = drawn(KEY, network.plan())
    x = jax.random.normal(OTHER, (2, 5, 3, 1))
    h = recur("rnn", theta["cell"], x[..., 0])[:, -1]
    expected = h @ theta["out"]["w"]
    np.testing.assert_allclose(network.apply(theta, x, None), expected, rtol=1e-5)


def test_letters_are_told_apart_by_their_places() -> None:
    network = NGram(5, 2, 3, 4)
    theta = drawn(KEY, network.plan())
    logits = network.apply(theta, jnp.asarray([[0, 1, 2], [2, 1, 0], [0, 1, 2]]), None)
    assert logits.shape == (3, 5)
    np.testing.assert_array_equal(logits[0], logits[2])
    assert (logits[0] != logits[1]).all()


def test_entries_are_those_of_a_product() -> None:
    network = Factorised((3, 2), 4, has_biases=True)
    theta = drawn(KEY, network.plan()) | {"row_biases": jnp.arange(3.0)}
    matrix = theta["rows"] @ theta["columns"].T + jnp.arange(3.0)[:, None]
    places = jnp.asarray([[2, 0], [0, 1]])
    expected = [matrix[2, 0], matrix[0, 1]]
    np.testing.assert_allclose(network.apply(theta, places, None), expected, rtol=1e-5)
    # Most rows have no part in it.
    gradient = jax.grad(lambda theta: network.apply(theta, places[:1], None).sum())(theta)
    assert gradient["rows"].any(1).tolist() == [False, False, True]


def test_a_category_is_its_features() -> None:
    network = Categorical(2, (3, 4), 2, 5)
    theta = drawn(KEY, network.plan())
    numbers, categories = jnp.ones((2, 2)), jnp.asarray([[0, 3], [2, 3]])
    features = [
        jnp.concatenate([theta["embeddings"][0][i], theta["embeddings"][1][3]]) for i in (0, 2)
    ]
    inputs = jnp.concatenate([numbers, jnp.stack(features)], 1)
    expected = jax.nn.relu(inputs @ theta["hidden"]["w"]) @ theta["out"]["w"]
    outputs = network.apply(theta, (numbers, categories), None)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-7)
