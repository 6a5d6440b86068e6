"""Several parameters side by side in one row, which a rule goes through block by block.

The h of each parameter is its own: one contiguous tensor for each leaf. A large parameter is cut
into blocks, which are views of its h. Small parameters are put together into a block, so that a
step needs few kernels, and the new values are copied back. On a CPU a kernel uses each one's h in
place instead. If h is kept in bfloat16, a block is a copy in float32, which is rounded when it is
put back. Nothing else is copied, and a step's own memory is that of the blocks at work.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch import native

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Tensor]
State = dict[str, Any]
"""h of a block: for each leaf a tensor, or a `native.Renewed` if a kernel renews it in place."""
Leaves = dict[str, list[Tensor]]
"""For each leaf of h, the tensors of all parameters of a row."""

LARGE_BLOCK = 2**20
"""Coordinates of a block on other devices than a CPU: they fill it, and bound a step's memory."""


def block(device: torch.device) -> int:
    """Return how many coordinates are updated at a time."""
    if device.type != "cpu":
        return LARGE_BLOCK
    # As many as fit all gates into the cache. The kernel keeps gates in registers, and then it is
    # as many as PyTorch does not divide among threads.
    return 8192 if native.kernel() is None else native.GRAIN


class Block(NamedTuple):
    """Columns of the row, the numbers of their parameters, and the part of a single parameter."""

    columns: slice
    numbers: slice
    inside: slice

    @property
    def is_several(self) -> bool:
        """Whether the block has more than one parameter."""
        return self.numbers.stop - self.numbers.start > 1


class Flat(NamedTuple):
    """h of one parameter, flat, and the addresses of its leaves if a kernel can read them."""

    size: int
    leaves: Tensors
    addresses: bytes | None


class Row:
    """h of several parameters, flat, in the order of their coordinates in the row."""

    def __init__(
        self,
        leaves: Leaves,
        blocks: Sequence[Block],
        device: torch.device,
        places: native.Places | None = None,  # of all of h, if a kernel uses it in place
        which: Mapping[str, int] | None = None,  # the number of each leaf among these
        of_tensors: Leaves | None = None,  # h that parameters have as a whole
    ):
        self.leaves, self.blocks, self.device = leaves, blocks, device
        self.places, self.which, self.of_tensors = places, which or {}, of_tensors or {}

    @classmethod
    def of(
        cls,
        names: Collection[str],
        states: Sequence[Flat],
        device: torch.device,
        of_tensors: Collection[str] = (),
        *,
        blockwise: bool = True,
    ) -> "Row":
        """Return the row of parameters, from their flat h: leaves of coordinates and of tensors.

        A rule that is not blockwise gets no blocks.
        """
        leaves = {name: [h.leaves[name] for h in states] for name in names}
        whole = {name: [h.leaves[name] for h in states] for name in of_tensors}
        sizes = [h.size for h in states]
        blocks, places = cut(sizes, block(device)) if blockwise else [], None
        # A kernel of a rule that is not blockwise takes the whole row at once.
        is_several = not blockwise or any(part.is_several for part in blocks)
        if names and device.type == "cpu" and is_several:
            places = native.places([h.addresses for h in states], sizes)
        which = {name: k for k, name in enumerate((*names, *of_tensors))}
        return cls(leaves, blocks, device, places, which, whole)

    def each(
        self,
        update: Callable[[Tensor, State], tuple[Tensor, State]],
        gradient: Float[Tensor, " n"],
        apart: Collection[str] = (),
    ) -> Float[Tensor, " n"]:
        """Map ∇ to g block by block; `update` maps ∇ and h of a block to its g and next h.

        It renews the leaves `apart` in place, if the kernel can.
        """
        g = torch.empty_like(gradient)

        def update_block(part: Block) -> None:
            h = self.take(part, apart)
            g[part.columns], after = update(gradient[part.columns], h)
            self.put(part, h, after)

        self.for_each(update_block, self.blocks)
        return g

    def take(self, part: Block, apart: Collection[str] = ()) -> State:
        """Return h of a block in float32: views for one parameter, copies if several or rounded.

        With several parameters and a kernel, the leaves `apart` are not copied.
        """
        several = part.numbers
        if not part.is_several:
            return {name: _computed(x) for name, x in self._views(part)}
        if self.places is None:
            return {
                name: torch.cat([_computed(x) for x in xs[several]], dim=-1)
                for name, xs in self.leaves.items()
            }
        h: State = {
            name: native.Renewed(self.places, several, self.which[name])
            for name in self.leaves
            if name in apart
        }
        copied = {name: xs[0].shape[:-1] for name, xs in self.leaves.items() if name not in apart}
        rows, n = [*map(math.prod, copied.values())], part.columns.stop - part.columns.start
        whole = torch.empty((sum(rows), n), dtype=torch.float32, device=self.device)
        for (name, shape), x in zip(copied.items(), whole.split(rows), strict=True):
            h[name] = x.view((*shape, n))
        self._bring(part, h, back=False)
        return h

    def put(self, part: Block, h: State, after: State) -> None:
        """Keep the next h of a block, for which `take` returned `h`."""
        if part.is_several and self.places is None:
            for name, xs in self.leaves.items():
                sizes = [x.shape[-1] for x in xs[part.numbers]]
                if all(x.dtype == after[name].dtype for x in xs[part.numbers]):
                    torch.split_with_sizes_copy(after[name], sizes, dim=-1, out=xs[part.numbers])
                else:
                    columns = after[name].split(sizes, dim=-1)
                    torch._foreach_copy_(xs[part.numbers], columns)  # pyright: ignore[reportPrivateImportUsage]
            return
        kept = dict(self._views(part)) if not part.is_several else {}
        for name, x in h.items():
            if name in kept and kept[name].dtype != x.dtype:
                kept[name].copy_(after[name])
                continue
            # A leaf that was renewed in place is there already.
            if after[name] is not x:
                x.copy_(after[name])
        if part.is_several:
            self._bring(part, h, back=True)

    def _views(self, part: Block) -> Iterator[tuple[str, Tensor]]:
        """Yield each leaf of h for a block of one parameter, as it is kept."""
        for name, xs in self.leaves.items():
            yield name, xs[part.numbers.start][..., part.inside]

    def _bring(self, part: Block, h: State, *, back: bool) -> None:
        """Copy the leaves of a block into one memory, one after the other, or copy them back."""
        copied = {name: x for name, x in h.items() if isinstance(x, Tensor)}
        if copied and self.places is not None:
            which = [self.which[name] for name in copied]
            rows = [x.numel() // x.shape[-1] for x in copied.values()]
            first = next(iter(copied.values()))
            self.places.bring(part.numbers, which, rows, first, back=back)

    def for_each(self, function: Callable[[Any], None], parts: Sequence[Any]) -> None:
        """Call a function with each part; on a CPU in as many threads as PyTorch has."""
        threads = min(len(parts), torch.get_num_threads() if self.device.type == "cpu" else 1)
        if threads <= 1:
            for part in parts:
                function(part)
            return
        # Each thread has its own modes, which begin with the defaults.
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

        def in_thread(part: Any) -> None:
            with torch.inference_mode(modes[1]), torch.set_grad_enabled(modes[0]):
                function(part)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(in_thread, parts))


def _computed(x: Tensor) -> Tensor:
    """Return h in the dtype for arithmetic: float32 if it is kept in bfloat16."""
    return x.to(torch.float32) if x.dtype is torch.bfloat16 else x


def cut(sizes: Sequence[int], size: int) -> list[Block]:
    """Return blocks of at most `size` coordinates, given the sizes of the parameters."""
    blocks: list[Block] = []
    first, start, end = 0, 0, 0

    def put_together(stop: int) -> None:
        if end > start:
            blocks.append(Block(slice(start, end), slice(first, stop), slice(0, end - start)))

    for number, n in enumerate(sizes):
        # Copies of so few coordinates take no longer than a call.
        is_small = n < size // 8
        # A block of small ones ends at half the size, so that threads have blocks to share.
        if not is_small or end - start + n > size // 2:
            put_together(number)
            first, start = number, end
        if not is_small:
            for begin in range(0, n, size):
                inside = slice(begin, min(begin + size, n))
                columns = slice(end + inside.start, end + inside.stop)
                blocks.append(Block(columns, slice(number, number + 1), inside))
            first, start = number + 1, end + n
        end += n
    put_together(len(sizes))
    return blocks
