"""Steps of parameters that two processes share are those of one process with all of them.

    python sharded.py OPTIMIZER …

A program of its own, which `test_sharded.py` starts: each process takes the same gradients.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from metadescent import UserError
from metadescent.torch import LearnedOptimizer

PROCESSES = 2
CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {"weight_decay": 0.1, "at_rest": True, "guard": True}


def model() -> torch.nn.Module:
    """Layers that two processes share evenly, unevenly, and so that one has nothing."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))


def gradient(of: torch.Tensor, t: int, number: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1000 * t + number)
    x = torch.randn(of.shape, generator=draw)
    if t == 1 and number == 0:
        # One process has it, and all leave the step out.
        x.view(-1)[-1] = torch.nan
    return torch.where(torch.arange(x.numel()).reshape(x.shape) % 5 == 0, 0.0, x)


def run(params: list[Any], optimizer: torch.optim.Optimizer, steps: range) -> None:
    for t in steps:
        for number, p in enumerate(params):
            p.grad = gradient(p, t, number)
            if hasattr(p, "placements"):
                p.grad = distribute_tensor(p.grad, p.device_mesh, p.placements)
        optimizer.step()


def whole(x: Any) -> torch.Tensor:
    return x.full_tensor() if hasattr(x, "full_tensor") else x


def by_rows(mesh: DeviceMesh) -> torch.nn.Module:
    """Return the model by FSDP2."""
    m = model()
    fully_shard(m, mesh=mesh)
    return m


def by_columns(mesh: DeviceMesh) -> torch.nn.Module:
    """Return the model with weights by columns and biases everywhere, as in tensor parallelism."""
    m = model()
    for layer in (m[0], m[2]):
        for name, place in (("weight", Shard(1)), ("bias", Replicate())):
            p = distribute_tensor(getattr(layer, name).detach(), mesh, [place])
            setattr(layer, name, torch.nn.Parameter(p))
    return m


def resumed(m: torch.nn.Module, name: str, place: Path) -> LearnedOptimizer:
    """Return an optimizer that goes on from what was saved there, and see that θ has not moved."""
    params = list(m.parameters())
    optimizer = LearnedOptimizer(m.named_parameters(), name, **OPTIONS)
    optimizer.zero_grad()
    values = [p.detach().clone() for p in params]
    state = get_optimizer_state_dict(m, optimizer)
    dcp.load(state, checkpoint_id=place)
    set_optimizer_state_dict(m, optimizer, state)
    for p, value in zip(params, values, strict=True):
        assert torch.equal(whole(p), whole(value))
    return optimizer


def alone(name: str) -> tuple[list[Any], LearnedOptimizer]:
    """Return θ and the optimizer of one process after four steps."""
    m = model()
    optimizer = LearnedOptimizer(m.named_parameters(), name, **OPTIONS)
    run(list(m.parameters()), optimizer, range(4))
    return list(m.parameters()), optimizer


def assert_close(
    some: list[Any], optimizer: LearnedOptimizer, others: list[Any], other: LearnedOptimizer
) -> None:
    """Compare θ and h."""
    for p, q in zip(some, others, strict=True):
        torch.testing.assert_close(whole(p), q.detach(), rtol=1e-5, atol=1e-6)
        for leaf, x in optimizer.state[p].items():
            torch.testing.assert_close(whole(x), other.state[q][leaf], rtol=1e-5, atol=1e-6)


def compare(name: str, mesh: DeviceMesh, folder: Path) -> None:
    """Compare layouts with one process; each goes on from its own state, and from another's."""
    expected = alone(name)
    for shift in range(2):
        layouts = [by_rows(mesh), by_columns(mesh), model()]
        places = [folder / f"{name}-{number}" for number in range(len(layouts))]
        for m, place in zip(layouts, places, strict=True):
            optimizer = LearnedOptimizer(m.named_parameters(), name, **OPTIONS)
            run(list(m.parameters()), optimizer, range(2))
            if shift == 0:
                dcp.save(get_optimizer_state_dict(m, optimizer), checkpoint_id=place)
        for m, place in zip(layouts, places[shift:] + places[:shift], strict=True):
            optimizer = resumed(m, name, place)
            run(list(m.parameters()), optimizer, range(2, 4))
            assert_close(list(m.parameters()), optimizer, *expected)


def go_on_alone(name: str, folder: Path) -> None:
    """See that one process goes on from what two have saved by rows."""
    m = model()
    run(list(m.parameters()), LearnedOptimizer(m.named_parameters(), name, **OPTIONS), range(2))
    optimizer = resumed(m, name, folder / f"{name}-0")
    run(list(m.parameters()), optimizer, range(2, 4))
    assert_close(list(m.parameters()), optimizer, *alone(name))


def trained(m: torch.nn.Module, optimizer: torch.optim.Optimizer, *ranks: int, one: int) -> None:
    """Train on the mean loss of these processes' batches; what `one` alone uses others do not."""
    for t in range(6):
        optimizer.zero_grad()
        draw = torch.Generator().manual_seed(t)
        x = torch.randn(PROCESSES, 5, 3, generator=draw)
        for rank in ranks:
            # Of a layer that nobody uses ∇ is None.
            often = t % 3 == 0 or (t % 3 == 1 and rank == one)
            (m(x[rank], often).square().mean() / len(ranks)).backward()
        optimizer.step()


class Branch(torch.nn.Module):
    """Two layers whose weights are tied, and one that is not always used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.last.weight = self.first.weight
        self.seldom = torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, often: bool) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        return self.last(x if often else self.seldom(x))


def compare_hybrid(name: str) -> None:
    """Compare HSDP, of which each process has all or a part, with one process."""
    for shape in ((PROCESSES, 1), (1, PROCESSES)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard"))
        shared, alone = Branch(), Branch()
        fully_shard(shared, mesh=mesh)
        for m, ranks in ((alone, range(PROCESSES)), (shared, [dist.get_rank()])):
            optimizer = LearnedOptimizer(m.named_parameters(), name, **OPTIONS)
            # FSDP2 waits for gradients that another process has.
            trained(m, optimizer, *ranks, one=-1)
            assert len(optimizer.state) == 5
        for p, q in zip(shared.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(whole(p), q.detach(), rtol=1e-5, atol=1e-6)


def compare_parallel(name: str, **options: Any) -> None:
    """Compare DDP, which leaves ∇ of what no process used None, with one process."""
    shared, alone = DistributedDataParallel(Branch(), **options), Branch()
    for m, ranks in ((alone, range(PROCESSES)), (shared, [dist.get_rank()])):
        trained(m, LearnedOptimizer(m.named_parameters(), name, **OPTIONS), *ranks, one=1)
    for p, q in zip(shared.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def compare_flat(name: str, *, use_orig_params: bool) -> None:
    """Compare steps of what FSDP1 has flattened, where a rule measures no whole tensor."""
    alone, shared = (
        model(),
        FullyShardedDataParallel(model(), use_orig_params=use_orig_params, device_id=CPU),
    )
    # Of a feature that is always 0, weights are at rest.
    x = torch.tensor([[1.0, 0.0, -2.0], [0.5, 0.0, 3.0]])

    def step(m: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        m(x).square().sum().backward()
        optimizer.step()

    optimizer = LearnedOptimizer(alone.parameters(), name, **OPTIONS)
    for _ in range(4):
        step(alone, optimizer)
    optimizer = LearnedOptimizer(shared.parameters(), name, **OPTIONS)
    for _ in range(2):
        step(shared, optimizer)
    state = FullyShardedDataParallel.optim_state_dict(shared, optimizer)
    # Of pieces that PyTorch shows, AdamW's states are loaded to other steps too.
    if not use_orig_params:
        optimizer = LearnedOptimizer(shared.parameters(), name, **OPTIONS)
        optimizer.load_state_dict(
            FullyShardedDataParallel.optim_state_dict_to_load(shared, optimizer, state)
        )
    for _ in range(2):
        step(shared, optimizer)
    with FullyShardedDataParallel.summon_full_params(shared):
        ours, theirs = (
            torch.cat([p.detach().reshape(-1) for p in m.parameters()]) for m in (shared, alone)
        )
        # A flat parameter ends in what makes it even.
        torch.testing.assert_close(ours[: len(theirs)], theirs, rtol=1e-5, atol=1e-6)


def refuse_flat(name: str) -> None:
    """See that what a rule would measure of a piece is refused where the optimizer is made."""
    for use_orig_params in (False, True):
        shared = FullyShardedDataParallel(model(), use_orig_params=use_orig_params, device_id=CPU)
        with pytest.raises(UserError, match="is flattened by FSDP1 and this optimizer measures"):
            LearnedOptimizer(shared.parameters(), name)


def work(rank: int, folder: str, names: list[str]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", PROCESSES)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for name in names:
        compare(name, mesh, Path(folder))
    for name in (*names, "mnist-gac"):
        for as_view in (False, True):
            options = {"gradient_as_bucket_view": as_view, "find_unused_parameters": True}
            compare_parallel(name, **options)
    for name in names:
        compare_hybrid(name)
    for use_orig_params in (False, True):
        compare_flat("mlp-robust-lstm", use_orig_params=use_orig_params)
    refuse_flat("classifier-lstm")
    refuse_flat("general")
    refuse_flat("mnist-gac")
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        torch.multiprocessing.spawn(work, (place, sys.argv[1:]), PROCESSES)
        for each in sys.argv[1:]:
            go_on_alone(each, Path(place))
