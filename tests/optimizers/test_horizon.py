"""T: whom it is told, and that everything else is as it was."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent._errors import UserError
from metadescent.optimizers.blend import Blend
from metadescent.optimizers.horizon import for_open_steps, for_steps
from metadescent.optimizers.pace import Pace
from metadescent.registry import make_optimizer

KEY = jax.random.key(0)


def test_each_part_that_knows_t_is_told() -> None:
    m = make_optimizer(
        "w -> lstm(layers=(2,)) >> pace(horizon=50.0) + * -> blend() >> pace(horizon=9.0)", KEY
    )
    specs = {True: for_steps(m, 700), False: for_open_steps(m, 700)}
    horizons = {
        all_of: [part.horizon for part in parts(other) if hasattr(part, "horizon")]
        for all_of, other in specs.items()
    }
    assert horizons == {True: [700.0] * 3, False: [50.0, 700.0, 9.0]}


def parts(m: object) -> list:
    """All rules that an optimizer is made of, from the first to the last."""
    inside = [x for value in vars(m).values() for x in (value if type(value) is tuple else [value])]
    return [m, *(part for x in inside if hasattr(x, "update") for part in parts(x))]


def test_the_rest_is_as_it_was() -> None:
    m = Pace(horizon=50.0, key=KEY)
    other = for_steps(m, 100)
    assert m.horizon == 50
    assert type(other) is Pace
    assert jax.tree.structure(other) == jax.tree.structure(Pace(horizon=100.0, key=KEY))
    np.testing.assert_array_equal(other.p, m.p)
    np.testing.assert_allclose(other.factor(jnp.asarray(40.0)), m.factor(jnp.asarray(20.0)))


def test_what_has_no_horizon_is_itself() -> None:
    m = make_optimizer("w -> lstm(layers=(2,)) + * -> lstm >> pace", KEY)
    assert for_open_steps(m, 5) is m
    tx = optax.sgd(0.1)
    assert for_open_steps(tx, 5) is tx


def test_a_run_has_a_step() -> None:
    with pytest.raises(UserError, match="steps is 0"):
        for_steps(Blend(key=KEY), 0)
