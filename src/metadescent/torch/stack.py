"""Parameters of one shape in a stack, for rules that measure whole tensors.

Small parameters are copied side by side, so that they share operations, and new values are copied
back. A large parameter is alone, and its h is renewed in place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch import shard
from metadescent.torch.row import Leaves

SIDE_BY_SIDE = 4096
"""The most coordinates for which a copy costs less than an operation."""


@dataclass
class Stack:
    """Tensors of one shape: their numbers and columns in the row, and their θ, ∇ and h."""

    numbers: slice
    columns: slice
    params: Sequence[Tensor]
    gradient: Float[Tensor, "count n"]
    h: list[Float[Tensor, "count n"]]

    def of(self, row: Float[Tensor, " _"]) -> Float[Tensor, "count n"]:
        """Return the part of a row that belongs to the stack, as a view."""
        return row[self.columns].view(self.gradient.shape)

    def theta(self) -> Float[Tensor, "count n"]:
        """Return θ, in the dtype of ∇."""
        thetas = [shard.local(p).reshape(-1).to(self.gradient.dtype) for p in self.params]
        return _side_by_side(thetas)

    def put_back(self, leaves: Leaves) -> None:
        """Copy the renewed h back to each parameter."""
        if len(self.params) == 1:
            return
        for xs, x in zip(leaves.values(), self.h, strict=True):
            torch._foreach_copy_(xs[self.numbers], list(x))  # pyright: ignore[reportPrivateImportUsage]

    def dot(
        self, x: Float[Tensor, "count n"], y: Float[Tensor, "count n"]
    ) -> Float[Tensor, " count"]:
        """Return the inner product of x and y for each tensor, over this process's part."""
        # `dot` is twice as fast for a single tensor.
        return torch.dot(x[0], y[0])[None] if len(x) == 1 else torch.linalg.vecdot(x, y)

    def whole(self, sums: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """Return sums over whole tensors, given those over this process's parts."""
        return shard.over_parts(sums, self.params[0], "sum")


def stacks_of(
    gradient: Float[Tensor, " _"], leaves: Leaves, params: Sequence[Tensor]
) -> list[Stack]:
    """Return the parameters of a row in stacks, in the order of the row."""
    stacks, number, start = [], 0, 0
    for _, together in groupby(enumerate(params), _kind):
        count = len([*together])
        n = shard.local(params[number]).numel()
        numbers, columns = slice(number, number + count), slice(start, start + count * n)
        stacks.append(
            Stack(
                numbers,
                columns,
                params[numbers],
                gradient[columns].view(count, n),
                [_side_by_side(xs[numbers]) for xs in leaves.values()],
            )
        )
        number, start = numbers.stop, columns.stop
    return stacks


def _kind(numbered: tuple[int, Tensor]) -> tuple[int, ...]:
    """Return what two parameters have in common if they may share a stack."""
    number, p = numbered
    is_alone = shard.is_shared(p) or p.numel() > SIDE_BY_SIDE
    return (number,) if is_alone else (-1, *p.shape)


def _side_by_side(xs: Sequence[Float[Tensor, " n"]]) -> Float[Tensor, "count n"]:
    return torch.stack(list(xs)) if len(xs) > 1 else xs[0][None]


def sides(shape: Sequence[int]) -> tuple[int, int]:
    """Return the rows and columns of a tensor of two or more axes as a matrix.

    In PyTorch the first axis of a convolution is that of its outputs, in JAX the last. A batch of
    one matrix is this matrix, as in JAX.

    Example:
        >>> sides((6, 5)), sides((64, 3, 7, 7)), sides((1, 50, 8))
        ((6, 5), (64, 147), (50, 8))
    """
    if len(shape) > 2 and shape[0] > 1:
        return shape[0], math.prod(shape[1:])
    return math.prod(shape[:-1]), shape[-1]


def larger_side(shape: Sequence[int]) -> int:
    """Return n, the larger side of a matrix, or 1 if the tensor is not a matrix."""
    return max(1, *sides(shape)) if len(shape) > 1 else 1


def aspect_of(shape: Sequence[int]) -> float:
    """Return log(k/n), with k the smaller side of a matrix and n the larger one."""
    if len(shape) < 2:
        return 0.0
    k, n = sorted(max(1, side) for side in sides(shape))
    return math.log(k / n)


def depth_of(params: Sequence[Tensor]) -> int:
    """Return L, the number of matrices, at least 1."""
    return max(1, sum(p.ndim > 1 for p in params))


def sums_over_parts(sums: Float[Tensor, "tensors _"], params: Sequence[Tensor]) -> Tensor:
    """Return sums over whole tensors, given those over this process's part of each."""
    together: dict[object, list[int]] = {}
    for number, p in enumerate(params):
        if shard.is_shared(p):
            place = p.device_mesh, tuple(p.placements)  # pyright: ignore[reportAttributeAccessIssue]
            together.setdefault(place, []).append(number)
    for numbers in together.values():
        sums[numbers] = shard.over_parts(sums[numbers], params[numbers[0]], "sum")
    return sums
