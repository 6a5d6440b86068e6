"""MNIST by the network of Flax NNX's tutorial: two convolutions, two linear layers, ReLU.

    python examples/strangers/tutorial_flax.py

One line is metadescent's; `tx = optax.adam(1e-3)` stood there.
"""

import jax
import numpy as np
import optax
from flax import nnx

import metadescent
from metadescent.problems.data import load_mnist


class Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 32, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.norm1, self.norm2 = nnx.BatchNorm(32, rngs=rngs), nnx.BatchNorm(64, rngs=rngs)
        self.hidden, self.output = nnx.Linear(3136, 256, rngs=rngs), nnx.Linear(256, 10, rngs=rngs)
        self.dropout = nnx.Dropout(0.025, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm1(self.dropout(self.conv1(x))))
        x = nnx.avg_pool(x, (2, 2), strides=(2, 2))
        x = nnx.relu(self.norm2(self.conv2(x)))
        x = nnx.avg_pool(x, (2, 2), strides=(2, 2))
        x = nnx.relu(self.dropout(self.hidden(x.reshape(len(x), -1))))
        return self.output(x)


@nnx.jit
def train_step(model: Network, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> jax.Array:
    def loss_of(model: Network) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    loss, gradient = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradient)
    return loss


def train(seed: int = 0, steps: int = 100) -> list[float]:
    """Return the loss of each step, on its own minibatch."""
    images, labels = load_mnist()
    order = np.random.default_rng(seed).permutation(len(images))
    model = Network(nnx.Rngs(seed))
    tx = metadescent.load("classifier-lstm").as_optax()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    losses = []
    for batch in order[: 32 * steps].reshape(steps, 32):
        x = images[batch].reshape(-1, 28, 28, 1).astype(np.float32) / 255
        losses.append(train_step(model, optimizer, x, labels[batch]))
    return [float(loss) for loss in losses]


if __name__ == "__main__":
    print(f"loss of the last ten of 100 steps: {sum(train()[-10:]) / 10:.3f}")
