"""MNIST by the network of `mnist-lstm`, 784-20-10 with sigmoids and PyTorch's initial weights.

    python examples/strangers/sigmoid_torch.py

One line is metadescent's; `optimizer = torch.optim.Adam(model.parameters())` stood there.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metadescent.problems.data import load_mnist
from metadescent.torch import LearnedOptimizer


def train(seed: int = 0, steps: int = 100) -> list[float]:
    """Return the loss of each step, on its own minibatch."""
    torch.manual_seed(seed)
    images, labels = load_mnist()
    digits = TensorDataset(torch.tensor(images) / 255, torch.tensor(labels).long())
    batches = DataLoader(digits, batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(784, 20), nn.Sigmoid(), nn.Linear(20, 10))
    optimizer = LearnedOptimizer(model.parameters(), "classifier-lstm")
    losses = []
    for _, (x, y) in zip(range(steps), batches, strict=False):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    print(f"loss of the last ten of 100 steps: {sum(train()[-10:]) / 10:.3f}")
