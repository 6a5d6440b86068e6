"""Appendix A: the two cases agree where they meet, and nothing is ever infinite."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent.optimizers.preprocess import log_and_sign

P = 10.0
THRESHOLD = np.float32(math.exp(-P))

apply = jax.jit(lambda gradient: log_and_sign(gradient, P))
slope = jax.jit(jax.jacrev(lambda gradient: log_and_sign(gradient, P)))


def appendix_a(gradient: float, p: float) -> tuple[float, float]:
    """The formula as the paper prints it, in double precision."""
    if abs(gradient) >= math.exp(-p):
        return math.log(abs(gradient)) / p, math.copysign(1.0, gradient)
    return -1.0, math.exp(p) * gradient


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_it_is_the_formula_of_the_paper(gradient: float) -> None:
    np.testing.assert_allclose(
        apply(jnp.float32(gradient)), appendix_a(gradient, P), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("p", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("gradient", [-3.0, 1e-3, 1e-8, 0.5])
def test_p_sets_what_counts_as_small(p: float, gradient: float) -> None:
    np.testing.assert_allclose(
        log_and_sign(jnp.float32(gradient), p), appendix_a(gradient, p), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("sign", [-1, 1])
def test_it_is_continuous_where_the_cases_meet(sign: int) -> None:
    inside, outside = (np.nextafter(THRESHOLD, np.float32(to)) for to in (0, 1))
    np.testing.assert_allclose(apply(sign * inside), apply(sign * outside), atol=1e-6)
    np.testing.assert_allclose(apply(sign * inside), [-1.0, sign], atol=1e-6)


@given(st.floats(0.0, 2.0**100, width=32))
def test_the_logarithm_is_even_and_the_sign_is_odd(gradient: float) -> None:
    plus, minus = apply(jnp.float32(gradient)), apply(jnp.float32(-gradient))
    assert plus[0] == minus[0]
    assert plus[1] == -minus[1]


def test_zero_reads_minus_one_and_zero() -> None:
    assert apply(jnp.float32(0)).tolist() == [-1.0, 0.0]


@pytest.mark.parametrize("gradient", [0.0, 1e-30, THRESHOLD, -THRESHOLD, 1.0, 1e30])
def test_its_slope_is_finite_everywhere(gradient: float) -> None:
    assert np.isfinite(slope(jnp.float32(gradient))).all()


def test_its_slope_at_zero_is_that_of_the_sign_part() -> None:
    np.testing.assert_allclose(slope(jnp.float32(0)), [0.0, math.exp(P)], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_it_keeps_the_dtype(dtype: jnp.dtype) -> None:
    out = log_and_sign(jnp.asarray([1e-6, -0.5, 0.0], dtype)[1], P)
    assert out.dtype == dtype
    np.testing.assert_allclose(
        out.astype(jnp.float32), [math.log(0.5) / P, -1], rtol=1e-2, atol=1e-3
    )
