"""The digits reach the network as fractions of full ink."""

import equinox as eqx
import jax
import numpy as np
import pytest

from metadescent.problems.digits import NAMED, make_digits

pytest.importorskip("sklearn")


def test_it_is_a_classifier_of_all_the_digits_with_white_at_sixteen() -> None:
    f = make_digits(hidden=(3, 2), activation="tanh", theta_std=0.5, batch_size=7).sample(
        jax.random.key(0)
    )
    assert f.images.shape == (1797, 64)
    assert (f.widths, f.activation, f.theta_std, f.batch_size) == ((64, 3, 2, 10), "tanh", 0.5, 7)
    assert f.white == float(np.max(f.images)) == 16.0


def test_logistic_regression_is_convex_and_has_no_hidden_layer() -> None:
    f = NAMED["digits-logistic"].make(batch_size=9).sample(jax.random.key(0))
    assert (f.widths, f.batch_size) == ((64, 10), 9)
    key = jax.random.key(1)
    init, loss = eqx.filter_jit(f.init), eqx.filter_jit(f.loss)
    a, b = (jax.tree.map(lambda x: 10 * x, init(k)) for k in jax.random.split(key))
    middle = jax.tree.map(lambda x, y: (x + y) / 2, a, b)
    assert float(loss(middle, key)) < float(loss(a, key) + loss(b, key)) / 2
