"""Many parameters are one row: the same numbers, few kernels."""

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from metadescent.torch import LearnedOptimizer, row

SPEC = "anytime(layers=(3,), betas=(0.5, 0.99))"
GAC = "lstm-gac(layers=(3, 2), averaging=2)"
BLEND = "blend(hidden=3)"
LOOKING = {"view", "reshape", "slice", "split", "split_with_sizes", "unsqueeze", "select", "detach"}
LOOKING |= {"unbind", "alias", "expand", "_unsafe_view", "as_strided", "_reshape_alias"}


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


class Largest(TorchDispatchMode):
    """Has the most numbers that an operation returned, but for views."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and func.overloadpacket.__name__ not in LOOKING:
            self.elements = max(self.elements, result.numel())
        return result


def parameters(count: int) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(count)
    theta = [torch.nn.Parameter(torch.randn(2, 3, generator=draw)) for _ in range(count)]
    for p in theta:
        p.grad = torch.randn(2, 3, generator=draw)
    return theta


@pytest.mark.parametrize("spec", [SPEC, GAC, BLEND])
def test_a_step_of_many_tensors_is_as_many_operations_as_of_few(spec: str, saved: Callable) -> None:
    operations = []
    for count in (2, 50):
        optimizer = LearnedOptimizer(
            parameters(count), saved(spec), weight_decay=0.1, decay_lr=None
        )
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


@pytest.mark.parametrize("spec", [SPEC, "lstm-gac(layers=(3,), averaging=1)", BLEND])
def test_h_of_a_parameter_is_its_own_and_renewed_where_it_lies(spec: str, saved: Callable) -> None:
    """So that what is kept, sent or pickled of a state is no more than the state."""
    theta = parameters(3)
    optimizer = LearnedOptimizer(theta, saved(spec))
    optimizer.step()
    before = {p: dict(optimizer.state[p]) for p in theta}
    optimizer.step()
    for p in theta:
        for name, x in optimizer.state[p].items():
            assert x is before[p][name]
            assert x.is_contiguous()
            assert x.untyped_storage().nbytes() == x.numel() * x.element_size()


LINKS = ["proportional", "relative", "warm-up"]


@pytest.mark.parametrize("spec", [SPEC, *(f"{SPEC} >> {link}" for link in LINKS), GAC, BLEND])
def test_a_step_holds_no_more_than_blocks_of_its_own(
    spec: str, saved: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the links of a chain, and whether all tensors have gradients or all but one."""
    monkeypatch.setattr(row, "block", lambda device: 256)
    theta = [torch.nn.Parameter(torch.ones(64, 64)) for _ in range(4)]
    for p in theta:
        p.grad = torch.ones_like(p)
    optimizer = LearnedOptimizer(theta, saved(spec))
    optimizer.step()
    for _ in range(2):
        with Largest() as largest:
            optimizer.step()
        # A row of ∇, and features of it.
        assert largest.elements <= 4 * 64 * 64
        theta[1].grad = None


@pytest.mark.parametrize("sizes", [[], [0], [0, 3, 0], [5, 1, 1, 90, 2, 0, 3, 30, 9], [8] * 40])
def test_blocks_are_the_row_in_pieces(sizes: list[int]) -> None:
    ends = torch.tensor(sizes, dtype=torch.long).cumsum(0).tolist()
    columns = []
    for piece in row.cut(sizes, 64):
        numbers = range(len(sizes))[piece.numbers]
        part = torch.cat([torch.arange(ends[k] - sizes[k], ends[k]) for k in numbers])[piece.inside]
        assert torch.equal(part, torch.arange(sum(sizes))[piece.columns])
        assert 0 < len(part) <= 64
        columns += part.tolist()
    assert columns == list(range(sum(sizes)))
