"""The digits reach the network as fractions of full ink."""

import jax
import numpy as np
import pytest

from metadescent.problems.digits import digits

pytest.importorskip("sklearn")


def test_it_is_a_classifier_of_all_the_digits_with_white_at_sixteen() -> None:
    f = digits(hidden=(3, 2), activation="tanh", theta_std=0.5, batch_size=7).sample(
        jax.random.key(0)
    )
    assert f.images.shape == (1797, 64)
    assert (f.widths, f.activation, f.theta_std, f.batch_size) == ((64, 3, 2, 10), "tanh", 0.5, 7)
    assert f.white == float(np.max(f.images)) == 16.0
