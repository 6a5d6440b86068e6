"""h in bfloat16: rounded once a step, half as large, wherever an LSTM is inside a rule."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers import AtRest, with_state_dtype
from metadescent.registry import make_optimizer

SPECS = [
    "lstm(layers=(3, 2))",
    "rnnprop(layers=(3,), beta=0.9)",
    "lstm-gac(layers=(3, 2), averaging=2)",
    "modulated(layers=(3,), clock=20.0) >> relative(floor=0.5)",
    "w* -> lstm(layers=(2,)) + * -> anytime(layers=(3,))",
]
THETA = {"w": jnp.full((2, 3), 0.5), "b": jnp.asarray(0.3), "none": jnp.zeros((0,))}
HALF = jnp.bfloat16


def rule(spec: str) -> Any:
    return make_optimizer(spec, jax.random.key(0))


def gradient(t: int) -> Any:
    return jax.tree.map(lambda x: jnp.sin(x + t), THETA)


@pytest.mark.parametrize("spec", SPECS)
def test_it_is_float32_that_is_rounded_after_each_step(spec: str) -> None:
    m = rule(spec)
    half = with_state_dtype(m, HALF)
    h, kept = m.init(THETA), half.init(THETA)
    rounded = [x.dtype == HALF for x in jax.tree.leaves(kept)]
    assert any(rounded)
    update, of_half = (jax.jit(each.as_optax().update) for each in (m, half))
    for t in range(3):
        g, h = update(gradient(t), h, THETA)
        own, kept = of_half(gradient(t), kept, THETA)
        leaves, treedef = jax.tree.flatten(h)
        leaves = [
            x.astype(HALF).astype(x.dtype) if is_rounded else x
            for x, is_rounded in zip(leaves, rounded, strict=True)
        ]
        h = treedef.unflatten(leaves)
        for x, y in zip(jax.tree.leaves((g, h)), jax.tree.leaves((own, kept)), strict=True):
            np.testing.assert_allclose(y.astype(x.dtype), x, rtol=1e-6, atol=1e-9)
    assert [x.dtype == HALF for x in jax.tree.leaves(kept)] == rounded


def test_moments_and_counts_stay_as_they_are() -> None:
    (moments, t), h = with_state_dtype(
        rule(SPECS[1].replace("rnnprop", "anytime").replace("beta=0.9", "betas=(0.9,)")), HALF
    ).init(jnp.zeros(4))
    assert {x.dtype for x in jax.tree.leaves((moments, t))} == {np.dtype("float32")}
    assert {x.dtype for x in jax.tree.leaves(h)} == {np.dtype(HALF)}


def test_an_lstm_s_state_is_half_as_large_and_float32_is_what_it_was() -> None:
    m = rule(SPECS[0])
    sizes = [
        sum(x.nbytes for x in jax.tree.leaves(each.init(THETA)))
        for each in (m, with_state_dtype(m, HALF))
    ]
    assert sizes[0] == 2 * sizes[1]
    again = with_state_dtype(with_state_dtype(m, HALF), jnp.float32)
    assert jax.tree.structure(again) == jax.tree.structure(m)
    # The optimizer that was given has not changed.
    assert m.init(THETA)["w"][0][0].dtype == jnp.float32


def test_it_is_at_rest_and_in_a_batch_as_any_other() -> None:
    m = with_state_dtype(AtRest(rule(SPECS[2])), HALF)
    theta = jnp.asarray([[1.0, 0.0], [0.0, 2.0]])
    together = m.over_batch()
    g, h = together.update(theta, together.init(theta), theta)
    for row, x in zip(g, theta, strict=True):
        np.testing.assert_allclose(row, m.update(x, m.init(x))[0], rtol=1e-5)
        np.testing.assert_array_equal(row == 0, x == 0)
    assert jnp.bfloat16 in [x.dtype for x in jax.tree.leaves(h)]


def test_what_has_no_lstm_and_other_dtypes_are_refused(sentence: Callable) -> None:
    assert sentence(with_state_dtype, rule("pace"), HALF) == (
        "Pace has no LSTM, whose state might be smaller; use it as it is"
    )
    assert sentence(with_state_dtype, rule(SPECS[0]), "float16") == (
        "dtype is 'float16' and must be jnp.bfloat16 or jnp.float32"
    )
