"""`torch.compile` takes programs that step, and the step within is what it is without."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from metadescent.torch import LearnedOptimizer

NAMES = ["mlp-robust-lstm", "classifier-lstm", "general"]
X = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def start(name: str) -> tuple[torch.nn.Module, LearnedOptimizer]:
    torch.manual_seed(0)
    m = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    return m, LearnedOptimizer(m.named_parameters(), name, weight_decay=0.1, decay_lr=None)


def train(m: torch.nn.Module, optimizer: LearnedOptimizer) -> None:
    optimizer.zero_grad()
    m(X).square().mean().backward()
    optimizer.step()


def compiled(call: Callable) -> Callable:
    # Another backend would compile the same graphs.
    return torch.compile(call, backend="eager")


def of_the_step(m: torch.nn.Module, optimizer: LearnedOptimizer) -> Callable[[], Any]:
    step = compiled(optimizer.step)

    def trained() -> None:
        optimizer.zero_grad()
        m(X).square().mean().backward()
        step()

    return trained


def of_the_loop(m: torch.nn.Module, optimizer: LearnedOptimizer) -> Callable[[], Any]:
    step = compiled(train)
    return lambda: step(m, optimizer)


def of_the_model(m: torch.nn.Module, optimizer: LearnedOptimizer) -> Callable[[], Any]:
    m = compiled(m)
    return lambda: train(m, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("of", [of_the_step, of_the_loop, of_the_model])
def test_steps_have_the_same_bits_and_compile_nothing_again(of: Callable, name: str) -> None:
    m, optimizer = start(name)
    twin, other = start(name)
    step = of(m, optimizer)
    for t in range(100 if of is of_the_step else 10):
        # A scheduler would set another rate at each step.
        for group in (*optimizer.param_groups, *other.param_groups):
            group["lr"] = 1 / (1 + t)
        # The first step makes h, and the second has it.
        with torch.compiler.set_stance("default" if t < 2 else "fail_on_recompile"):
            step()
        train(twin, other)
    assert all(map(torch.equal, m.parameters(), twin.parameters()))
