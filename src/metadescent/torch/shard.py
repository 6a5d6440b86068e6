"""Parameters that are split over processes: DTensors, as FSDP2 and tensor parallelism make them.

A coordinatewise rule runs on the part; measures of a whole tensor are summed over the parts. A
DTensor is recognized by `hasattr`, because its module takes long to import.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

IS_FLAT = "_fsdp_flattened"
"""The attribute that FSDP1 sets on flat parameters, and on the pieces of them that it shows."""


def is_shared(x: Tensor) -> bool:
    """Tell whether a tensor is a DTensor."""
    return hasattr(x, "device_mesh")


def local(x: Any) -> Tensor:
    """Return the part of a tensor that this process holds."""
    return x.to_local() if is_shared(x) else x


def like(p: Any, x: Any) -> Any:
    """Return a tensor of θ's shape, with features first if it is of h, laid out as θ is."""
    if not is_shared(p):
        return x.full_tensor() if is_shared(x) else x
    from torch.distributed.tensor import distribute_tensor

    places = _places(p, x.ndim - p.ndim)
    if is_shared(x):
        return x if x.placements == places else x.redistribute(p.device_mesh, places)
    return distribute_tensor(x, p.device_mesh, places)


def zeros(p: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a leaf of h₀ for one parameter; `shape` is that of the leaf for one coordinate."""
    part = local(p)
    x = torch.zeros((*shape, *part.shape), dtype=dtype, device=part.device)
    if not is_shared(p):
        return x
    from torch.distributed.tensor import DTensor

    whole = torch.Size((*shape, *p.shape))
    places, stride = _places(p, len(shape)), _stride(whole)
    return DTensor.from_local(x, p.device_mesh, places, run_check=False, shape=whole, stride=stride)


def over_parts(x: Tensor, p: Any, how: Literal["sum", "max"]) -> Tensor:
    """Return the sum or maximum of values that each process has measured on its part of θ."""
    if not is_shared(p):
        return x
    from torch.distributed.tensor import DTensor, Partial, Replicate

    places = [Replicate() if place.is_replicate() else Partial(how) for place in p.placements]
    return DTensor.from_local(x, p.device_mesh, places, run_check=False).full_tensor()


def whole_of(x: Tensor, p: Any) -> Tensor:
    """Return a whole tensor of θ's shape, given each process's part of it."""
    if not is_shared(p):
        return x
    from torch.distributed.tensor import DTensor

    mesh, places = p.device_mesh, p.placements
    whole = DTensor.from_local(
        x, mesh, places, run_check=False, shape=p.shape, stride=_stride(p.shape)
    )
    return whole.full_tensor()


def part_of(x: Tensor, p: Any) -> Tensor:
    """Return this process's part of a tensor that each process has whole: undo `whole_of`."""
    if not is_shared(p):
        return x
    from torch.distributed.tensor import DTensor, Replicate

    mesh = p.device_mesh
    everywhere = DTensor.from_local(x, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(mesh, p.placements).to_local()


def by_feature(state: dict[str, Tensor], p: Tensor) -> dict[str, Tensor]:
    """Return h with a leaf of θ's shape for each feature, as FSDP1 needs it to gather states."""
    leaves = {}
    for name, x in state.items():
        rows = enumerate(x) if x.ndim > p.ndim else ()
        # FSDP1 refuses booleans.
        leaves |= {f"{name}.{k}": row.clone() for k, row in rows} or {name: x.float()}
    return leaves


def of_features(leaves: dict[str, Any]) -> dict[str, Any]:
    """Undo `by_feature`, whatever the order of the leaves after FSDP1."""
    whole, rows = dict(leaves), {}
    for name in leaves:
        if part := re.fullmatch(r"(.+)\.(\d+)", str(name)):
            rows.setdefault(part[1], {})[int(part[2])] = whole.pop(name)
    return whole | {name: torch.stack([x[k] for k in sorted(x)]) for name, x in rows.items()}


def mean_square(x: Tensor, p: Tensor) -> Tensor:
    """Return the mean of x² over all of θ, given this process's part of x."""
    return over_parts(x.square().sum(), p, "sum") / p.numel()


def largest(x: Tensor, p: Tensor) -> Tensor:
    """Return the maximum of |x| over all of θ."""
    return over_parts(x.abs().amax() if x.numel() else x.new_zeros(()), p, "max")


def _stride(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _places(p: Any, count: int) -> tuple[Any, ...]:
    """Return the placements of θ's axes for a tensor with `count` more axes in front."""

    def behind(place: Any) -> Any:
        if place.is_replicate():
            return place
        # With FSDP on top of tensor parallelism, parts are strided.
        more = {"split_factor": place.split_factor} if hasattr(place, "split_factor") else {}
        make: Callable = type(place)
        return make(place.dim + count, **more)

    return tuple(map(behind, p.placements))
