"""Pictures of any optimizers on any problem: one for all histories, and one a coordinate."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metadescent.figures.pictures import pictures_of
from metadescent.problems.from_function import FromFunction


def test_each_coordinate_has_a_history_and_a_picture_of_its_own() -> None:
    f = FromFunction(lambda theta, key: (theta**2).sum(), lambda key: jnp.ones(3))
    both = {"mine": optax.sgd(0.02), "sgd": optax.sgd(0.1)}
    pictures = pictures_of(both, f, jax.random.key(0), num_steps=2)
    assert len(pictures.coordinates) == len(set(pictures.coordinates)) == 2
    assert [axes.get_title(loc="left") for axes in pictures.histories().axes] == [
        f"Coordinate {coordinate}" for coordinate in pictures.coordinates
    ]
    for coordinate in pictures.coordinates:
        figure = pictures.functions(coordinate)
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["Step 1", "Step 2"]
        # The update of SGD is a line through the origin, whatever the gradient was.
        line = figure.axes[0].lines[2]
        np.testing.assert_allclose(line.get_ydata(), -0.1 * line.get_xdata(), rtol=1e-6)
