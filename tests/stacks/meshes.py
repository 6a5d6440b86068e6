"""Training that goes from one device to two and back, against one device.

    python meshes.py equinox|flax OPTIMIZER FOLDER

A program of its own, which `test_jax.py` starts with two devices. Between two meshes θ and the
state are saved by Orbax. θ is sharded, the forward pass is checkpointed, and what a step takes is
donated.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import metadescent

X = jax.random.normal(jax.random.key(1), (16, 6))
Y = jnp.sin(X.sum(axis=1))
COUNTS = (1, 2, 1)
STEPS = 4

Model = tuple[Any, Callable[[Any], jax.Array]]


def of_equinox() -> Model:
    """Return θ of a model and its loss."""
    mlp = eqx.nn.MLP(6, "scalar", width_size=8, depth=1, key=jax.random.key(0))
    theta, rest = eqx.partition(mlp, eqx.is_inexact_array)

    @jax.checkpoint
    def loss_of(theta: Any) -> jax.Array:
        return jnp.mean((jax.vmap(eqx.combine(theta, rest))(X) - Y) ** 2)

    return theta, loss_of


def of_flax() -> Model:
    """Return the same of a model of NNX."""
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.hidden = nnx.Linear(6, 8, rngs=rngs)
            self.output = nnx.Linear(8, 1, rngs=rngs)

        @nnx.remat
        def features(self, x: jax.Array) -> jax.Array:
            return jnp.tanh(self.hidden(x))

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.output(self.features(x))[:, 0]

    graph, theta = nnx.split(Net(nnx.Rngs(0)), nnx.Param)
    return theta, lambda theta: jnp.mean((nnx.merge(graph, theta)(X) - Y) ** 2)


def shard(theta: Any, mesh: Mesh) -> Any:
    """Return θ with the axis of 8 units, which all leaves but one have, over the devices."""

    def place(x: np.ndarray) -> jax.Array:
        axes = ["units" if size == 8 else None for size in x.shape]
        # A copy, as it will be donated.
        return jax.device_put(jnp.array(x), NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(place, theta)


def train(carry: Any, loss_of: Callable, learned: Any) -> tuple[Any, float]:
    def step(theta: Any, state: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(theta)
        updates, state = learned.update(gradient, state, theta)
        return optax.apply_updates(theta, updates), state, loss

    step = jax.jit(step, donate_argnums=(0, 1))
    for _ in range(STEPS):
        before = jax.tree.leaves(carry)
        *carry, loss = step(*carry)
        assert all(x.is_deleted() for x in before)
    return tuple(carry), float(loss)


def main(make: Callable[[], Model], name: str, folder: Path) -> None:
    learned = metadescent.load(name).as_optax()
    theta, loss_of = make()
    first = float(loss_of(theta))
    theta = jax.tree.map(np.array, theta)
    copied = jax.tree.map(jnp.array, theta)
    alone, losses = (copied, learned.init(copied)), []
    for _ in COUNTS:
        alone, loss = train(alone, loss_of, learned)
        losses.append(loss)
    assert losses[-1] < 0.7 * first, (first, losses)

    carry = None
    for number, count in enumerate(COUNTS):
        mesh = Mesh(np.asarray(jax.devices()[:count]), ("units",))
        placed = shard(theta, mesh)
        empty = (placed, learned.init(placed))
        if carry is None:
            carry = empty
        else:
            with ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(folder / str(number), carry)
            with ocp.StandardCheckpointer() as checkpointer:
                carry = checkpointer.restore(folder / str(number), empty)
        carry, loss = train(carry, loss_of, learned)
        # h follows θ: each device has its part of both.
        spread = [x for x in jax.tree.leaves(carry) if 8 in x.shape]
        assert len(spread) > len(jax.tree.leaves(theta))
        assert all(len(x.sharding.device_set) == count for x in spread)
        assert all(x.is_fully_replicated == (count == 1) for x in spread)
        np.testing.assert_allclose(loss, losses[number], rtol=1e-4)
    for x, y in zip(jax.tree.leaves(carry), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)
    print(*COUNTS, "devices")


if __name__ == "__main__":
    assert jax.device_count() == 2
    main({"equinox": of_equinox, "flax": of_flax}[sys.argv[1]], sys.argv[2], Path(sys.argv[3]))
