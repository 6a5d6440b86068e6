"""The coordinates of several parameters in one row, so that a step takes few kernels."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch import native
from metadescent.torch.partitioned import Group
from metadescent.torch.rule import Tensors

LARGE_BLOCK = 2**20
"""A block on a device other than a CPU: enough to fill it, and a bound on a step's own memory."""


def block(device: torch.device) -> int:
    """Return how many coordinates a coordinatewise rule updates at a time."""
    if device.type != "cpu":
        return LARGE_BLOCK
    # What the cache holds of all gates; with the kernel, which keeps them in registers, as many as
    # PyTorch does not divide among threads of its own.
    return 8192 if native.kernel() is None else native.GRAIN


class Row:
    """h of the coordinates of several parameters of one device, side by side in the given order.

    `before` has the h of each so far, empty where there is none. `states` has each one's part of
    the row: views with the rule's shapes and the parameter's appended.
    """

    def __init__(self, group: Group, params: Sequence[Tensor], before: Sequence[Tensors]):
        self.rule, device = group.rule, params[0].device
        self.phi = {name: x.to(device) for name, x in group.phi.items()}
        ends = list(accumulate(p.numel() for p in params))
        self.places = {p: slice(end - p.numel(), end) for p, end in zip(params, ends, strict=True)}
        self.h: Tensors = {}
        for name, shape in self.rule.state_shapes().items():
            # h₀ is 0.
            x = torch.zeros((*shape, ends[-1]), dtype=torch.float32, device=device)
            for p, state in zip(params, before, strict=True):
                if state:
                    x[..., self.places[p]] = state[name].reshape(*shape, p.numel()).to(x)
            self.h[name] = x
        self.states = {p: self._state_of(p) for p in params}

    def _state_of(self, p: Tensor) -> Tensors:
        columns = {name: x[..., self.places[p]] for name, x in self.h.items()}
        return {name: x.view((*x.shape[:-1], *p.shape)) for name, x in columns.items()}

    def holds(self, p: Tensor, state: Tensors) -> bool:
        """Return whether this row has the parameter's h, and the caller has put no other there."""
        views, shapes = self.states.get(p), self.rule.state_shapes()
        return views is not None and all(
            # A parameter may have been given data of another shape.
            state.get(name) is x and x.shape == (*shapes[name], *p.shape)
            for name, x in views.items()
        )

    def update(
        self, params: Sequence[Tensor], gradient: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Map ∇ of some of the parameters, in the row's order, to their g, and renew their h."""
        runs = self._runs(params)
        h = {name: _columns(x, runs) for name, x in self.h.items()}
        g = torch.empty_like(gradient)
        n = len(gradient)
        # Only a rule whose coordinates look at nothing else may be updated block by block.
        is_in_blocks = self.rule.coordinatewise
        size = max(block(gradient.device) if is_in_blocks else n, 1)
        theta = () if is_in_blocks else params

        def update_block(start: int) -> None:
            columns = slice(start, start + size)
            before = {name: x[..., columns] for name, x in h.items()}
            g[columns], after = self.rule.update(self.phi, gradient[columns], before, theta)
            for name, x in before.items():
                # What was renewed where it lies is there already.
                if after[name] is not x:
                    x.copy_(after[name])

        _for_each(range(0, n, size), update_block, gradient.device)
        # Columns of several runs are copies, of one a view.
        if len(runs) > 1:
            self._put(runs, h)
        return g

    def _runs(self, params: Sequence[Tensor]) -> list[slice]:
        """Return the columns of some parameters, those that touch as one."""
        runs: list[slice] = []
        for place in (self.places[p] for p in params):
            if runs and runs[-1].stop == place.start:
                runs[-1] = slice(runs[-1].start, place.stop)
            else:
                runs.append(place)
        return runs

    def _put(self, runs: list[slice], h: Tensors) -> None:
        for name, x in h.items():
            parts = x.split([run.stop - run.start for run in runs], dim=-1)
            for run, part in zip(runs, parts, strict=True):
                self.h[name][..., run] = part


def _columns(x: Tensor, runs: list[slice]) -> Tensor:
    """Return columns of a leaf: a view of one run, a copy of several."""
    parts = [x[..., run] for run in runs]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _for_each(
    starts: Sequence[int], update_block: Callable[[int], None], device: torch.device
) -> None:
    """Call a function of each block; on a CPU in as many threads as PyTorch has."""
    threads = min(len(starts), torch.get_num_threads() if device.type == "cpu" else 1)
    if threads <= 1:
        for start in starts:
            update_block(start)
        return
    # These are a thread's own, and a new one begins with the defaults.
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def in_thread(start: int) -> None:
        with torch.inference_mode(modes[1]), torch.set_grad_enabled(modes[0]):
            update_block(start)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(in_thread, starts))
