"""A step as one operation in the graph that `torch.compile` makes of a program.

The graph knows that the operation reads ∇ and changes θ. It does not see h, rates or the rule, so
that nothing is compiled again when they change, and the same code runs as without a graph.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from metadescent.torch import shard

Groups = Any
"""`param_groups`; a graph would have to take a check of each group's type too."""

_MOVES: dict[int, weakref.WeakMethod] = {}
"""Functions of numbers, θ and ∇ of parameters, as an operation takes only tensors and numbers."""
_HANDLES = count()


def handle_of(move: Callable[[Sequence[int], Sequence[Tensor], Sequence[Tensor]], None]) -> int:
    """Return the number by which the operation finds an optimizer's method, while there is one."""
    handle = next(_HANDLES)
    _MOVES[handle] = weakref.WeakMethod(move, lambda _: _MOVES.pop(handle, None))
    return handle


def fits_a_graph(groups: Groups) -> bool:
    """Tell whether the operation can take a step.

    A DTensor has no such operation. On a GPU a graph may be captured, and rates with it.
    """
    return all(p.device.type == "cpu" and not shard.is_shared(p) for p in _params(groups))


def step(handle: int, groups: Groups) -> None:
    """Move every parameter that has a gradient, by the operation."""
    params = list(_params(groups))
    numbers = [k for k, p in enumerate(params) if p.grad is not None]
    thetas = [params[k] for k in numbers]
    _step(handle, numbers, thetas, [p.grad for p in thetas])


@torch.library.custom_op("metadescent::step", mutates_args=["thetas"])
def _step(handle: int, numbers: list[int], thetas: list[Tensor], gradients: list[Tensor]) -> None:
    move = _MOVES[handle]()
    assert move is not None
    move(numbers, thetas, gradients)


def _params(groups: Groups) -> Iterator[Any]:
    """Return the parameters of all groups."""
    for group in groups:
        yield from group["params"]
