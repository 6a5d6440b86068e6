"""In PyTorch an optimizer from the Hub is that of one commit, which its state names."""

from collections.abc import Callable
from typing import Any

import torch

from metadescent import zoo
from metadescent.torch import LearnedOptimizer

FILE = "optimizer.safetensors"


def stepped(name: str) -> tuple[LearnedOptimizer, torch.Tensor]:
    """An optimizer and θ after three steps."""
    theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = LearnedOptimizer([theta], name)
    for _ in range(3):
        optimizer.zero_grad()
        theta.square().sum().backward()
        optimizer.step()
    return optimizer, theta.detach()


def test_it_moves_as_its_file_does_and_its_state_names_the_commit(
    hub: Any, sentence: Callable
) -> None:
    files = [zoo.path(name).read_bytes() for name in ("quadratic-lstm", "quadratic-uniform-lstm")]
    oids = [hub.put("ada/lstm", {FILE: files[0]})]
    optimizer, theta = stepped("hf://ada/lstm")
    assert torch.equal(theta, stepped("quadratic-lstm")[1])
    assert optimizer.param_groups[0]["optimizer"] == f"hf://ada/lstm@{oids[0]}"
    oids.append(hub.put("ada/lstm", {FILE: files[1]}))
    newer, _ = stepped("hf://ada/lstm")
    assert newer.param_groups[0]["optimizer"] == f"hf://ada/lstm@{oids[1]}"
    text = sentence(newer.load_state_dict, optimizer.state_dict())
    assert text.endswith(f"load it into LearnedOptimizer(params, 'hf://ada/lstm@{oids[0]}')")
    again, _ = stepped(f"hf://ada/lstm@{oids[0]}")
    again.load_state_dict(optimizer.state_dict())
