"""The small networks of `assorted`: what is summed, and what an optimizer is given."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.problems.assorted import LEAST, PARTS, WORST, f_of, make_assorted, train_of
from metadescent.problems.assorted_levels import LEVELS
from metadescent.problems.small_data import draw_examples
from metadescent.problems.small_networks import begin

DRAWN = draw_examples()
KEY = jax.random.key(0)


def doublings(f: float, name: str) -> float:
    """What a loss counts, in plain arithmetic."""
    a, u = LEVELS[name]
    x = (math.log(f + LEAST) - a) / u
    return math.copysign(math.log(1 + abs(x)), x)


@pytest.mark.parametrize("name", ["two layers", "student", "letters", "factors"])
def test_the_gradient_is_that_of_f_and_the_value_counts_doublings(name: str) -> None:
    part = PARTS[name]
    f, theta = train_of(part, LEVELS[name], DRAWN).sample(KEY), begin(KEY, part.sizes)
    value, gradient = jax.value_and_grad(f.loss)(theta, KEY)
    _, batch = f.arguments(KEY)
    loss, own = jax.value_and_grad(lambda theta: f_of(part, theta, batch))(theta)
    assert float(value) == pytest.approx(doublings(float(loss), name), rel=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), gradient, own)


def test_what_is_not_finite_counts_as_the_worst() -> None:
    part = PARTS["student"]
    f = train_of(part, LEVELS["student"], DRAWN).sample(KEY)
    theta = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), begin(KEY, part.sizes))
    assert float(f.loss(theta, KEY)) == pytest.approx(doublings(WORST, "student"), rel=1e-4)


def test_of_a_count_there_are_the_first() -> None:
    theta = make_assorted(count=2).sample(KEY).init(KEY)
    assert [[w.shape for w, _ in layers] for layers in theta] == [
        [*part.sizes] for part in list(PARTS.values())[:2]
    ]
    with pytest.raises(UserError, match=f"count is 0 and must be from 1 to {len(PARTS)}"):
        make_assorted(count=0)


@pytest.mark.slow
def test_every_part_starts_well_behind_adamw() -> None:
    for name, part in PARTS.items():
        f = train_of(part, LEVELS[name], DRAWN).sample(KEY)
        # By more than it gains in half the time, or there would be nothing to learn.
        assert float(f.loss(begin(KEY, part.sizes), KEY)) > math.log(2.5), name


def test_examples_have_as_many_inputs_as_outputs() -> None:
    for name, (x, y) in DRAWN.items():
        assert len(x) == len(y) >= 1024, name
        assert np.isfinite(x).all(), name
