"""A Flax NNX optimizer around a learned rule is the rule: same θ, whatever the rule keeps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from metadescent.registry import make_optimizer

nnx = pytest.importorskip("flax.nnx")

X = jax.random.normal(jax.random.key(0), (5, 3))
KINDS = [
    "lstm(layers=(2,))",
    "hidden/* -> lstm(layers=(2,)) + * -> optax.adam(learning_rate=0.1)",
    "lstm-gac(layers=(4,), averaging=1)",
]


def model() -> Any:
    class Net(nnx.Module):
        def __init__(self, rngs: Any):
            self.hidden = nnx.List([nnx.Linear(3, 2, rngs=rngs)])
            self.output = nnx.Linear(2, 1, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.output(jnp.tanh(self.hidden[0](x)))

    return Net(nnx.Rngs(0))


def loss_of(net: Any) -> jax.Array:
    return jnp.mean((net(X) - 1) ** 2)


@pytest.mark.parametrize("kind", KINDS)
def test_its_optimizer_runs_the_rule(kind: str, assert_close: Callable) -> None:
    tx, net = make_optimizer(kind, jax.random.key(1)).as_optax(), model()
    graph, theta = nnx.split(net, nnx.Param)
    theta = nnx.to_pure_dict(theta)
    optimizer = nnx.Optimizer(net, optax.chain(optax.clip(1.0), tx), wrt=nnx.Param)

    @nnx.jit
    def step(net: Any, optimizer: Any) -> None:
        optimizer.update(net, nnx.grad(loss_of)(net))

    @jax.jit
    def by_hand(theta: Any, state: Any) -> Any:
        gradient = jax.grad(lambda theta: loss_of(nnx.merge(graph, theta)))(theta)
        gradient = jax.tree.map(lambda x: x.clip(-1.0, 1.0), gradient)
        updates, state = tx.update(gradient, state, theta)
        return optax.apply_updates(theta, updates), state

    state = tx.init(theta)
    for _ in range(3):
        step(net, optimizer)
        theta, state = by_hand(theta, state)
    assert_close(nnx.to_pure_dict(nnx.state(net, nnx.Param)), theta)


def test_gradients_in_a_state_come_back_in_one(assert_close: Callable) -> None:
    tx = make_optimizer(KINDS[0], jax.random.key(1)).as_optax()
    gradient = nnx.state(model(), nnx.Param)
    updates, _ = tx.update(gradient, tx.init(gradient), gradient)
    assert isinstance(updates, nnx.State)
    pure = nnx.to_pure_dict(gradient)
    assert_close(nnx.to_pure_dict(updates), tx.update(pure, tx.init(pure))[0])
