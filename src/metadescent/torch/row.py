"""Several parameters side by side in one row, which a rule goes through block by block.

h of each parameter is its own, a contiguous tensor a leaf. A large parameter is cut into blocks,
which are views of its h; small ones are put together into a block, so that a step takes few
kernels, and what was renewed is put back. Nothing else is copied, and a step's own memory is that
of the blocks at work.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch import native

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Tensor]
Leaves = Mapping[str, Sequence[Tensor]]
"""Of each leaf of h, that of every parameter of a row."""

LARGE_BLOCK = 2**20
"""A block on a device other than a CPU: enough to fill it, and a bound on a step's own memory."""


def block(device: torch.device) -> int:
    """Return how many coordinates are updated at a time."""
    if device.type != "cpu":
        return LARGE_BLOCK
    # What the cache holds of all gates; with the kernel, which keeps them in registers, as many as
    # PyTorch does not divide among threads of its own.
    return 8192 if native.kernel() is None else native.GRAIN


class Block(NamedTuple):
    """Columns of the row, and whose they are: of each part its parameter's number and columns."""

    columns: slice
    parts: list[tuple[int, slice]]


class Row:
    """h of several parameters, flat, in the order in which their coordinates are in the row."""

    def __init__(self, leaves: Leaves, blocks: Sequence[Block], device: torch.device):
        self.leaves, self.blocks, self.device = leaves, blocks, device

    @classmethod
    def of(
        cls, shapes: Shapes, states: Sequence[Tensors], sizes: Sequence[int], device: torch.device
    ) -> "Row":
        """Return the row of parameters of these sizes, each with a flat h."""
        leaves = {name: [h[name] for h in states] for name in shapes}
        return cls(leaves, cut(sizes, block(device)), device)

    def each(
        self,
        update: Callable[[Tensor, Tensors], tuple[Tensor, Tensors]],
        gradient: Float[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """Map ∇ to g by a function of ∇ and h of one block, which returns its g and next h."""
        g = torch.empty_like(gradient)

        def update_block(part: Block) -> None:
            h = self.take(part)
            g[part.columns], after = update(gradient[part.columns], h)
            self.put(part, h, after)

        self.for_each(update_block, self.blocks)
        return g

    def take(self, part: Block) -> Tensors:
        """Return h of a block: views of one parameter's, copies of several."""
        (number, columns), *others = part.parts
        if not others:
            return {name: xs[number][..., columns] for name, xs in self.leaves.items()}
        return {
            name: torch.cat([xs[k] for k, _ in part.parts], dim=-1)
            for name, xs in self.leaves.items()
        }

    def put(self, part: Block, h: Tensors, after: Tensors) -> None:
        """Keep the next h of a block, of which `take` returned `h`."""
        sizes = [columns.stop - columns.start for _, columns in part.parts]
        for name, x in h.items():
            if len(sizes) > 1:
                whole = [self.leaves[name][k] for k, _ in part.parts]
                torch.split_with_sizes_copy(after[name], sizes, dim=-1, out=whole)
            # What was renewed where it lies is there already.
            elif after[name] is not x:
                x.copy_(after[name])

    def for_each(self, function: Callable[[Any], None], parts: Sequence[Any]) -> None:
        """Call a function of each part; on a CPU in as many threads as PyTorch has."""
        threads = min(len(parts), torch.get_num_threads() if self.device.type == "cpu" else 1)
        if threads <= 1:
            for part in parts:
                function(part)
            return
        # These are a thread's own, and a new one begins with the defaults.
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

        def in_thread(part: Any) -> None:
            with torch.inference_mode(modes[1]), torch.set_grad_enabled(modes[0]):
                function(part)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(in_thread, parts))


def cut(sizes: Sequence[int], size: int) -> list[Block]:
    """Return blocks of at most `size` coordinates of parameters of these sizes."""
    blocks: list[Block] = []
    end, room = 0, 0
    for number, n in enumerate(sizes):
        if n == 0:
            continue
        # A call takes as long as copies of h of so few coordinates.
        small = n < size // 8
        if small and n <= room:
            (columns, parts) = blocks[-1]
            parts.append((number, slice(0, n)))
            blocks[-1] = Block(slice(columns.start, end + n), parts)
            room -= n
        else:
            for start in range(0, n, size):
                stop = min(start + size, n)
                columns = slice(end + start, end + stop)
                blocks.append(Block(columns, [(number, slice(start, stop))]))
            room = size - n if small else 0
        end += n
    return blocks
