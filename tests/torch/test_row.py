"""Many parameters are one row: the same numbers, few kernels."""

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from metadescent.torch import LearnedOptimizer, row

SPEC = "anytime(layers=(3,), betas=(0.5, 0.99))"
LOOKING = {"view", "reshape", "slice", "split", "split_with_sizes", "unsqueeze", "select", "detach"}
LOOKING |= {"alias", "expand", "_unsafe_view", "as_strided", "_reshape_alias"}


class Count(TorchDispatchMode):
    """Counts the operations that compute or copy something."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name not in LOOKING:
            self.operations.append(name)
        return func(*args, **(kwargs or {}))


def parameters(count: int) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(count)
    theta = [torch.nn.Parameter(torch.randn(2, 3, generator=draw)) for _ in range(count)]
    for p in theta:
        p.grad = torch.randn(2, 3, generator=draw)
    return theta


@pytest.mark.parametrize("spec", [SPEC, "lstm-gac(layers=(3, 2), averaging=2)"])
def test_a_step_of_many_tensors_is_as_many_operations_as_of_few(spec: str, saved: Callable) -> None:
    operations = []
    for count in (2, 50):
        optimizer = LearnedOptimizer(parameters(count), saved(spec), weight_decay=0.1)
        optimizer.step()
        with Count() as counted:
            optimizer.step()
        operations.append(counted.operations)
    assert operations[0] == operations[1]


def test_block_by_block_is_all_at_once(saved: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    thetas = []
    for size in (4, 1000):
        monkeypatch.setattr(row, "block", lambda device, size=size: size)
        theta = parameters(5)
        optimizer = LearnedOptimizer(theta, saved(SPEC))
        for t in range(4):
            theta[2].grad = None if t == 1 else torch.ones(2, 3)
            optimizer.step()
        thetas.append(torch.stack([p.detach() for p in theta]))
    torch.testing.assert_close(*thetas, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_threads_share_the_blocks_and_change_no_bit(
    mode: Callable, saved: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, thetas = torch.get_num_threads(), []
    for count in (1, 3):
        monkeypatch.setattr(row, "block", lambda device: 4)
        theta = parameters(5)
        optimizer = LearnedOptimizer(theta, saved(SPEC))
        torch.set_num_threads(count)
        try:
            with mode():
                for _ in range(2):
                    optimizer.step()
        finally:
            torch.set_num_threads(before)
        thetas.append(torch.stack([p.detach() for p in theta]))
    assert torch.equal(*thetas)


def test_what_state_shows_is_the_row_itself(saved: Callable) -> None:
    theta = parameters(3)
    optimizer = LearnedOptimizer(theta, saved(SPEC))
    optimizer.step()
    before = [optimizer.state[p] for p in theta]
    optimizer.step()
    assert all(optimizer.state[p] is state for p, state in zip(theta, before, strict=True))
    pointers = {state["t"].untyped_storage().data_ptr() for state in before}
    assert len(pointers) == 1
    assert all((state["t"] == 2).all() for state in before)
