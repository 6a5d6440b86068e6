"""An MLP's cross-entropy, on minibatches that are drawn evenly."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.classifier import Classifier, MLPClassification

KEY = jax.random.key(0)
WHITE = 16.0
IMAGES = np.random.default_rng(0).integers(0, 17, (12, 5), dtype=np.uint8)
LABELS = np.arange(12) % 3

ACTIVATIONS: dict[str, Callable] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


def classifier(**options: object) -> Classifier:
    return MLPClassification(IMAGES, LABELS, **{"white": WHITE, **options}).sample(KEY)


# Compiled whole: operation by operation takes several times as long.
init = eqx.filter_jit(lambda f, key: f.init(key))
loss = eqx.filter_jit(lambda f, theta, key: f.loss(theta, key))
cross_entropy = eqx.filter_jit(lambda f, theta, x, y: f.cross_entropy(theta, x, y))


def by_hand(theta: list, activation: str) -> float:
    """The mean over all examples of −log softmax(net(x))[label], in double precision."""
    x = IMAGES / WHITE
    for layer, (w, b) in enumerate(theta):
        x = x @ np.asarray(w, np.float64) + np.asarray(b, np.float64)
        if layer < len(theta) - 1:
            x = ACTIVATIONS[activation](x)
    log_softmax = x - np.log(np.exp(x).sum(1, keepdims=True))
    return -log_softmax[np.arange(12), LABELS].mean()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_loss_is_the_cross_entropy(activation: str) -> None:
    f = classifier(hidden=(4, 2), activation=activation, theta_std=1.0)
    theta = init(f, KEY)
    entropy = cross_entropy(f, theta, jnp.asarray(IMAGES), jnp.asarray(LABELS))
    assert float(entropy) == pytest.approx(by_hand(theta, activation), rel=1e-5)


def test_without_hidden_layers_it_is_logistic_regression() -> None:
    f = classifier(hidden=(), theta_std=1.0)
    theta = init(f, KEY)
    assert [w.shape for w, _ in theta] == [(5, 3)]
    entropy = cross_entropy(f, theta, jnp.asarray(IMAGES), jnp.asarray(LABELS))
    assert float(entropy) == pytest.approx(by_hand(theta, "sigmoid"), rel=1e-5)


def test_theta_has_one_pair_a_layer_each_drawn_for_itself() -> None:
    theta = init(classifier(hidden=(40, 30), theta_std=0.1), KEY)
    assert [(w.shape, b.shape) for w, b in theta] == [
        ((5, 40), (40,)),
        ((40, 30), (30,)),
        ((30, 3), (3,)),
    ]
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(theta)])
    assert np.std(values) == pytest.approx(0.1, rel=0.1)
    assert len(np.unique(values)) == len(values)


def test_at_theta_0_every_class_is_as_likely() -> None:
    f = classifier(hidden=(4,), theta_std=0.0)
    assert float(loss(f, init(f, KEY), KEY)) == pytest.approx(np.log(3), rel=1e-6)


def test_a_minibatch_is_drawn_by_the_key() -> None:
    f = classifier(batch_size=4, theta_std=1.0)
    theta = init(f, KEY)
    losses = [float(loss(f, theta, jax.random.key(seed))) for seed in (0, 1, 2, 0)]
    assert len(set(losses[:3])) == 3
    assert losses[3] == losses[0]


def test_minibatches_are_unbiased() -> None:
    f = classifier(hidden=(2,), batch_size=3, theta_std=1.0)
    theta = init(f, KEY)
    keys = jax.random.split(KEY, 2000)
    losses = np.asarray(jax.jit(jax.vmap(lambda key: f.loss(theta, key)))(keys))
    error = losses.std() / np.sqrt(len(losses))
    assert abs(losses.mean() - by_hand(theta, "sigmoid")) < 4 * error


def test_without_minibatches_every_example_counts_whatever_the_key() -> None:
    f = classifier(hidden=(2,), batch_size=0, theta_std=1.0)
    theta = init(f, KEY)
    losses = {float(loss(f, theta, jax.random.key(seed))) for seed in range(3)}
    assert len(losses) == 1
    assert losses.pop() == pytest.approx(by_hand(theta, "sigmoid"), rel=1e-5)


def test_images_stay_bytes_and_the_problem_is_one_f() -> None:
    problem = MLPClassification(IMAGES, LABELS)
    f = problem.sample(KEY)
    assert f.images.dtype == jnp.uint8
    assert f is problem.sample(jax.random.key(1))


def test_the_network_ends_in_as_many_units_as_there_are_classes() -> None:
    assert MLPClassification(IMAGES, LABELS, hidden=(7,)).sample(KEY).widths == (5, 7, 3)
    assert MLPClassification(IMAGES, np.full(12, 9)).sample(KEY).widths == (5, 20, 10)
