"""A partition does to each leaf what the leaf's own optimizer would do to it alone."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.meta.two_phase import suits
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.partitioned import ByHand, Partitioned
from metadescent.optimizers.rnnprop import RNNProp
from metadescent.problems.convnet import ConvNetClassification
from metadescent.registry import make_optimizer
from metadescent.zoo import file as artifact

KEY = jax.random.key(0)
THETA = {
    "conv": [{"w": jnp.full((3, 3, 1, 2), 0.5), "b": jnp.ones(2)}],
    "out": {"w": jnp.full((4, 2), -2.0), "b": jnp.ones(2)},
}
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3)).astype(np.uint8)
NETWORK = ConvNetClassification(
    IMAGES, np.arange(8) % 2, channels=(3,), hidden=(4,), kernel=3, batch_size=4
)


def lstm(seed: int = 0) -> LSTM:
    return LSTM((3,), key=jax.random.key(seed))


def two() -> Partitioned:
    return Partitioned([("conv/*", lstm()), ("*", RNNProp(layers=(2,), key=jax.random.key(1)))])


def test_each_leaf_goes_to_the_first_group_that_takes_it() -> None:
    m = Partitioned(
        [
            (lambda path, shape: path == "out/b" and shape == (2,), lstm()),
            (lambda path, shape: len(shape) == 4, lstm()),
            ("out/*", lstm()),
            ("*", lstm()),
        ]
    )
    assert m.labels(THETA) == {"conv": [{"w": "1", "b": "3"}], "out": {"w": "2", "b": "0"}}


def test_the_batch_is_no_part_of_a_leafs_shape() -> None:
    m = Partitioned([(lambda path, shape: len(shape) == 4, lstm()), ("*", optax.sgd(0.1))])
    batch = jax.tree.map(lambda x: jnp.stack([x, x, x]), THETA)
    assert m.over_batch().labels(batch) == m.labels(THETA)


def test_a_group_does_what_its_optimizer_does_alone(assert_close: Callable) -> None:
    m = Partitioned([("conv/*", lstm()), ("*", optax.adam(0.1))])
    updates, _ = eqx.filter_jit(m.update)(THETA, m.init(THETA), THETA)
    conv, out = {"conv": THETA["conv"]}, {"out": THETA["out"]}
    adam = optax.adam(0.1)
    alone = lstm().update(conv, lstm().init(conv))[0] | adam.update(out, adam.init(out))[0]
    assert_close(updates, alone, rtol=1e-5)


def test_an_optimizer_by_hand_gets_what_it_needs(assert_close: Callable) -> None:
    tx = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.5))
    m = Partitioned([("*", tx)])
    updates, _ = m.update(THETA, m.init(THETA), THETA, value=1.0)
    assert_close(updates, jax.tree.map(lambda x: -0.5 * 1.1 * x, THETA))


@pytest.mark.slow
@pytest.mark.parametrize("hand", [False, True])
def test_two_phases_are_automatic_differentiation(hand: bool, assert_close: Callable) -> None:
    m = Partitioned([("conv/*", lstm()), ("*", optax.adam(0.01))]) if hand else two()
    begin = start_batch(m, NETWORK, KEY, 2)

    def slope(form: str) -> Partitioned:
        return eqx.filter_jit(
            eqx.filter_grad(
                lambda m: meta_loss(m, NETWORK, begin, KEY, num_problems=2, num_steps=3, form=form)[
                    0
                ]
            )
        )(m)

    found = slope("two-phase")
    assert all(leaf.any() for leaf in jax.tree.leaves(found))
    assert_close(found, slope("recompute"), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_sample_of_all_coordinates_is_exact(assert_close: Callable) -> None:
    m = two()
    begin = start_batch(m, NETWORK, KEY, 1)

    def slope(count: int | None) -> Partitioned:
        return eqx.filter_jit(
            eqx.filter_grad(
                lambda m: meta_loss(
                    m, NETWORK, begin, KEY, num_problems=1, num_steps=3, num_coordinates=count
                )[0]
            )
        )(m)

    assert_close(slope(10_000), slope(None), rtol=1e-5)


@pytest.mark.slow
def test_a_group_without_leaves_learns_nothing() -> None:
    m = Partitioned([("nowhere", lstm()), ("*", lstm(1))])
    begin = start_batch(m, NETWORK, KEY, 1)
    found = eqx.filter_grad(
        lambda m: meta_loss(m, NETWORK, begin, KEY, num_problems=1, num_steps=2)[0]
    )(m)
    assert not any(leaf.any() for leaf in jax.tree.leaves(found.rules[0]))
    assert all(leaf.any() for leaf in jax.tree.leaves(found.rules[1]))


def test_two_phases_need_coordinatewise_rules_only_where_there_is_something_to_learn() -> None:
    assert suits(Partitioned([("*", optax.adam(0.1))]))
    assert not suits(Partitioned([("*", two())]))


def test_a_specification_says_which_leaves_go_where(tmp_path, assert_same_bits: Callable) -> None:
    spec = "conv/* -> lstm(layers=(2,)) + * -> optax.adam(learning_rate=0.1)"
    m = make_optimizer(spec, KEY)
    assert m.takes == ("conv/*", "*")
    assert isinstance(m.rules[1], ByHand)
    artifact.save(tmp_path / "m.safetensors", m, optimizer=spec)
    loaded = artifact.load(tmp_path / "m.safetensors")
    assert_same_bits(jax.tree.leaves(loaded), jax.tree.leaves(m))
    assert loaded.takes == m.takes


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("conv/* -> lstm + lstm", "'lstm' does not say which leaves go to which optimizer"),
        ("-> lstm", "does not say"),
        ("* -> lsm", "there is no optimizer named 'lsm'; did you mean 'lstm'?"),
        ("* -> optax.adm", "there is no optimizer 'optax.adm'"),
        ("* -> optax.global_norm", "cannot make optax.global_norm"),
        ("* -> optax.adam(rate=1.0)", "optax.adam has no option 'rate'"),
        (
            "* -> optax.adam(learning_rate='x')",
            "optax.adam(learning_rate='x') moves no θ: Only integer scalar arrays",
        ),
    ],
)
def test_a_specification_that_cannot_be_read(spec: str, words: str, sentence: Callable) -> None:
    assert words in sentence(make_optimizer, spec, KEY)


def test_every_leaf_must_have_a_group(sentence: Callable) -> None:
    m = Partitioned([("conv/*", lstm())])
    assert sentence(m.init, THETA) == (
        "no group takes the leaf out/b of shape (2,); try a last group that takes *"
    )


def test_there_must_be_a_group(sentence: Callable) -> None:
    assert "there is no group" in sentence(Partitioned, [])


def test_code_of_others_is_not_run_for_a_group_either(tmp_path, sentence: Callable) -> None:
    spec = "* -> some.module:Rule"
    artifact.save(tmp_path / "m.safetensors", lstm(), optimizer=spec)
    assert "hand the class in" in sentence(artifact.load, tmp_path / "m.safetensors")
