"""Parameters and states that do not fit in PyTorch's optimizer, and shared parameters."""

import functools
import os
import random
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from places import sentence
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from metadescent._errors import UserError
from metadescent.torch import LearnedOptimizer

NAMES = ("mlp-robust-lstm", "mnist-lstm", "classifier-lstm", "quadratic-lstm")
SHAPES = ((), (1,), (2,), (3, 4), (4, 3), (12,), (2, 2, 3), (40,), (0,), (1, 5))
DTYPES = (torch.float32, torch.float32, torch.float64, torch.float16, torch.bfloat16)


def begun(chance: random.Random) -> tuple[list[torch.Tensor], LearnedOptimizer]:
    """Return parameters and an optimizer that has moved them once, or not yet."""
    shapes = chance.choices(SHAPES, k=chance.randrange(1, 5))
    params = [torch.nn.Parameter(torch.ones(s, dtype=chance.choice(DTYPES))) for s in shapes]
    options: dict[str, Any] = {"at_rest": chance.random() < 0.3}
    optimizer = LearnedOptimizer(params, chance.choice(NAMES), **options)
    if chance.random() < 0.8:
        move(params, optimizer, chance)
    return params, optimizer


def move(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Take a step along random gradients, some of which lie apart or backwards."""
    draw = torch.Generator().manual_seed(chance.getrandbits(32))
    for p in params:
        gradient = torch.randn(p.shape[::-1], generator=draw).permute(tuple(range(p.ndim))[::-1])
        p.grad = gradient.to(p.dtype) if chance.random() < 0.9 else None
    optimizer.step()


def resize(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Give a parameter another shape."""
    del optimizer
    p = chance.choice(params)
    p.grad = None
    p.data = torch.ones(chance.choice(SHAPES), dtype=p.dtype)


def other_leaf(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Put another tensor where one of h is."""
    state = optimizer.state[chance.choice(params)]
    if state:
        name = chance.choice(list(state))
        other = torch.zeros(chance.choice(SHAPES), dtype=chance.choice(DTYPES))
        state[name] = chance.choice((other, state[name].clone().double(), state[name].flip(-1)))


def other_state(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Load what another optimizer, or one of other parameters, has saved."""
    del params
    optimizer.load_state_dict(begun(chance)[1].state_dict())


def reloaded(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Load its own state."""
    del params, chance
    optimizer.load_state_dict(optimizer.state_dict())


def other_dtype(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Give a parameter another dtype."""
    del optimizer
    p = chance.choice(params)
    p.grad = None
    p.data = p.data.to(chance.choice(DTYPES))


def expanded(params: list[Any], optimizer: LearnedOptimizer, chance: random.Random) -> None:
    """Let all coordinates of a leaf of h lie in one place, or a parameter lie across."""
    p = chance.choice(params)
    for name, x in optimizer.state[p].items():
        optimizer.state[p][name] = x[..., :1].expand(x.shape) if x.ndim else x
    p.data = (
        p.data.permute(tuple(range(p.ndim))[::-1]).contiguous().permute(tuple(range(p.ndim))[::-1])
    )


MISFITS = (resize, other_leaf, other_state, reloaded, other_dtype, expanded)


def state_in_pytorch(place: Path, chance: random.Random) -> str:
    """Change what an optimizer holds; its next steps are right or refused, and θ stays whole."""
    del place
    params, optimizer = begun(chance)
    change = chance.choice(MISFITS)
    try:
        change(params, optimizer, chance)
        shapes = [p.shape for p in params]
        move(params, optimizer, chance)
    except UserError as error:
        return sentence(error)
    except ValueError as error:  # PyTorch's own, where groups do not match.
        return "" if change is other_state else str(error)
    if [p.shape for p in params] != shapes or not all(p.isfinite().all() for p in params):
        return f"{change.__name__}: θ has become {params}"[:400]
    return ""


@functools.cache
def world_of_one() -> DeviceMesh:
    """Return the mesh of this process alone."""
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    return init_device_mesh("cpu", (1,))


def sharded(place: Path, chance: random.Random) -> str:
    """Move what is shared, some of it resized or loaded between; it goes as what is not."""
    del place
    mesh = world_of_one()
    name, at_rest = chance.choice(NAMES), chance.random() < 0.3
    shapes = chance.choices(SHAPES, k=chance.randrange(1, 4))
    draw = torch.Generator().manual_seed(chance.getrandbits(32))
    whole = [torch.nn.Parameter(torch.randn(s, generator=draw)) for s in shapes]
    placements = [_placement(s, chance) for s in shapes]

    def shared(x: torch.Tensor, k: int) -> Any:
        return distribute_tensor(x.detach().clone(), mesh, [placements[k]])

    parts = [torch.nn.Parameter(shared(p, k)) for k, p in enumerate(whole)]
    both = [LearnedOptimizer(params, name, at_rest=at_rest) for params in (whole, parts)]
    for _ in range(chance.randrange(1, 4)):
        for k, (p, part) in enumerate(zip(whole, parts, strict=True)):
            p.grad = torch.randn(p.shape, generator=draw)
            part.grad = shared(p.grad, k)
        for optimizer in both:
            optimizer.step()
        if chance.random() < 0.5:
            both[1].load_state_dict(both[1].state_dict())
    for p, part in zip(whole, parts, strict=True):
        if not torch.allclose(p, part.full_tensor(), rtol=1e-5, atol=1e-6):
            return f"{name}, shapes {shapes}, {placements}: {p} and {part}"[:400]
    return ""


def _placement(shape: tuple[int, ...], chance: random.Random) -> Any:
    return Shard(chance.randrange(len(shape))) if shape and chance.random() < 0.7 else Replicate()


os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
