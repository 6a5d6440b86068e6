"""The derivative of a rule over blocks of coordinates is the derivative over all of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from metadescent.optimizers.blockwise import pull_back_blockwise
from metadescent.optimizers.lstm import LSTM, stack

M = LSTM((3,), key=jax.random.key(0))
T, N = 4, 10
INPUTS = jax.random.normal(jax.random.key(1), (T, N))
COTANGENTS = jax.random.normal(jax.random.key(2), (T, N))
STATE = jax.tree.map(lambda h: h + 0.1, M.init(jnp.zeros(N)))


def rows(m: LSTM, gradient: jax.Array, state: Any) -> tuple[jax.Array, Any]:
    """The reference in plain JAX."""
    return stack(m, m.features(gradient), state)


@pytest.mark.parametrize("block", [1, 3, 4, 10, 4096])
def test_it_is_automatic_differentiation_whatever_the_block(
    block: int, assert_close: Callable
) -> None:
    def pairing(m: LSTM) -> jax.Array:
        total, state = jnp.zeros(()), STATE
        for gradient, cotangent in zip(INPUTS, COTANGENTS, strict=True):
            g, state = rows(m, gradient, state)
            total += g @ cotangent
        return total

    @eqx.filter_jit
    def blocks(m: LSTM) -> LSTM:
        return pull_back_blockwise(rows, m, STATE, INPUTS, COTANGENTS, block=block)

    assert_close(blocks(M), eqx.filter_jit(eqx.filter_grad(pairing))(M), rtol=1e-4, atol=1e-5)
