"""In a graph of `torch.compile` a step is one operation, with the bits that it has without."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from metadescent.torch import LearnedOptimizer

NAMES = ["mlp-robust-lstm", "classifier-lstm", "general"]
# PyTorch's compiler alone takes seconds to import.
pytestmark = pytest.mark.slow

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def start(name: str, **options: Any) -> tuple[torch.nn.Module, LearnedOptimizer]:
    torch.manual_seed(0)
    m = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    options = {"weight_decay": 0.1, "decay_lr": None} | options
    return m, LearnedOptimizer(m.named_parameters(), name, **options)


def backward(m: torch.nn.Module, optimizer: LearnedOptimizer) -> None:
    optimizer.zero_grad()
    m(X).square().mean().backward()


def train(m: torch.nn.Module, optimizer: LearnedOptimizer) -> None:
    backward(m, optimizer)
    optimizer.step()


def compiled(call: Callable, **options: Any) -> Callable:
    # Inductor takes the operation as this backend does, and longer.
    return torch.compile(call, backend="aot_eager", **options)


def of_the_step(m: torch.nn.Module, optimizer: LearnedOptimizer) -> Callable[[], Any]:
    step = compiled(optimizer.step, fullgraph=True)

    def trained() -> None:
        backward(m, optimizer)
        step()

    return trained


def of_the_loop(m: torch.nn.Module, optimizer: LearnedOptimizer) -> Callable[[], Any]:
    step = compiled(train)
    return lambda: step(m, optimizer)


def of_the_model(m: torch.nn.Module, optimizer: LearnedOptimizer) -> Callable[[], Any]:
    m = compiled(m)
    return lambda: train(m, optimizer)


def assert_alike(m: torch.nn.Module, twin: torch.nn.Module) -> None:
    assert all(map(torch.equal, m.parameters(), twin.parameters()))


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
        # What is around the step may be compiled twice.
        with torch.compiler.set_stance("default" if t < 2 else "fail_on_recompile"):
            step()
        train(twin, other)
    assert_alike(m, twin)


def test_a_step_reads_and_moves_what_the_graph_has() -> None:
    def program(m: torch.nn.Module, optimizer: LearnedOptimizer, mean: list[torch.Tensor]) -> None:
        with torch.no_grad():
            torch.nn.utils.clip_grad_norm_(m.parameters(), 0.01)
            for p in m.parameters():
                p.mul_(1.5)
            optimizer.step()
            for x, p in zip(mean, m.parameters(), strict=True):
                x.lerp_(p, 0.5)

    means = []
    for call in (program, compiled(program, fullgraph=True)):
        m, optimizer = start("general")
        mean = [torch.zeros_like(p) for p in m.parameters()]
        for _ in range(2):
            backward(m, optimizer)
            call(m, optimizer, mean)
        means.append(mean)
    for x, y in zip(*means, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "options", [{"guard": True}, {"at_rest": True}, {"lr": torch.tensor(0.5)}, {"maximize": True}]
)
def test_options_count_in_a_graph(options: dict[str, Any]) -> None:
    m, optimizer = start("mlp-robust-lstm", **options)
    twin, other = start("mlp-robust-lstm", **options)
    step = of_the_step(m, optimizer)
    for _ in range(2):
        step()
        train(twin, other)
    assert_alike(m, twin)


def test_a_graph_takes_new_parameters_states_and_copies() -> None:
    m, optimizer = start("mlp-robust-lstm")
    twin, other = start("mlp-robust-lstm")
    step = of_the_step(m, optimizer)
    step()
    train(twin, other)

    # A parameter without a gradient, as others have theirs.
    backward(m, optimizer)
    next(m.parameters()).grad = None
    compiled(optimizer.step, fullgraph=True)()
    backward(twin, other)
    next(twin.parameters()).grad = None
    other.step()
    assert_alike(m, twin)

    for each in (optimizer, other):
        each.load_state_dict(each.state_dict())
        each.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "param_names": ["q"]})
        each.param_groups[-1]["params"][0].square().sum().backward()
    step()
    train(twin, other)
    assert_alike(m, twin)

    # A copy has parameters of its own, and a graph of its own that moves them.
    n, own = copy.deepcopy((m, optimizer))
    of_the_step(n, own)()
    assert_alike(m, twin)
    train(twin, other)
    assert_alike(n, twin)


def test_a_scheduler_breaks_the_graph_and_changes_no_bit() -> None:
    m, optimizer = start("mlp-robust-lstm")
    twin, other = start("mlp-robust-lstm")
    schedulers = [torch.optim.lr_scheduler.StepLR(each, 1, 0.5) for each in (optimizer, other)]
    step = compiled(lambda: optimizer.step())
    for t in range(3):
        backward(m, optimizer)
        with torch.compiler.set_stance("default" if t < 1 else "fail_on_recompile"):
            step()
        train(twin, other)
        for scheduler in schedulers:
            scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.125
    assert_alike(m, twin)


def test_tied_weights_move_once() -> None:
    thetas = []
    for wrapped in (lambda step: step, lambda step: compiled(step, fullgraph=True)):
        p = torch.nn.Parameter(torch.ones(3))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = LearnedOptimizer([p, p], "mnist-lstm")
        p.square().sum().backward()
        wrapped(optimizer.step)()
        thetas.append(p)
    assert torch.equal(*thetas)
