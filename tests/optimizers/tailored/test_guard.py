"""The guard: what the slopes at both ends of a step say of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.tailored.guard import LONGEST, SHORTEST, judge_step

STEP = jnp.asarray([1.0, 0.0])


def verdict(before: float, after: float, is_finite: bool = True) -> tuple[bool, float]:
    slopes = (jnp.asarray([slope, 7.0]) for slope in (before, after))
    of = judge_step(STEP, *slopes, jnp.asarray(is_finite))
    return bool(of.too_far), float(of.kept)


@pytest.mark.parametrize("after", [-2.0, -0.5, 0.0, 0.5, 0.9])
def test_a_step_is_kept_that_ends_less_steep_than_it_began(after: float) -> None:
    assert not verdict(-1.0, after)[0]


@pytest.mark.parametrize("after", [1.5, 3.0, 7.0])
def test_what_is_kept_of_one_too_far_is_where_the_secant_is_flat(after: float) -> None:
    too_far, kept = verdict(-1.0, after)
    assert too_far
    # −1 + κ (after + 1) = 0
    np.testing.assert_allclose(kept * (after + 1), 1.0, rtol=1e-6)


def test_never_less_than_a_tenth_is_kept_nor_more_than_half() -> None:
    assert verdict(-1.0, 1e6) == (True, pytest.approx(SHORTEST))
    assert verdict(-1.0, 0.95) == (True, pytest.approx(LONGEST))


def test_a_gradient_that_is_not_finite_is_too_far_and_is_not_read() -> None:
    assert verdict(-1.0, float("nan"), is_finite=False) == (True, pytest.approx(SHORTEST))


def test_its_derivatives_are_finite_where_no_step_was_made() -> None:
    def total(x: jax.Array) -> jax.Array:
        of = judge_step(0 * x, x, x, jnp.asarray(True))
        return of.kept + of.before + of.after

    assert jnp.isfinite(jax.grad(total)(STEP)).all()
