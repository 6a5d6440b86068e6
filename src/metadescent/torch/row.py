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
"""Coordinates that a coordinatewise rule updates at a time on a device other than a CPU: enough to
fill it, and a bound on what a step needs for itself."""


def block(device: torch.device) -> int:
    """Return how many coordinates a coordinatewise rule updates at a time."""
    if device.type != "cpu":
        return LARGE_BLOCK
    # What the cache holds of all gates; with the kernel, which keeps them in registers, as many as
    # PyTorch does not divide among threads of its own.
    return 8192 if native.kernel() is None else native.GRAIN


class Row:
    """h of the coordinates of several parameters, side by side.

    Arguments:
        group: the rule and its φ.
        params: the parameters, all on one device, in the order that they have in the row.
        before: for each, its h so far, as in `states`; empty where it has none yet.

    Attributes:
        states: for each parameter its part of h: leaves of the rule's shapes with the parameter's
            appended, all of them views of the row.
    """

    def __init__(self, group: Group, params: Sequence[Tensor], before: Sequence[Tensors]):
        """Lay the parameters' h side by side."""
        self.rule, device = group.rule, params[0].device
        self.phi = {name: x.to(device) for name, x in group.phi.items()}
        ends = list(accumulate(p.numel() for p in params))
        self.places = {p: slice(end - p.numel(), end) for p, end in zip(params, ends, strict=True)}
        self.h: Tensors = {}
        for name, shape in self.rule.state_shapes().items():
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
        """Tell whether h of this parameter is here, and is what it was when it was put here."""
        views = self.states.get(p)
        return views is not None and all(state.get(name) is x for name, x in views.items())

    def update(
        self, params: Sequence[Tensor], gradient: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Map ∇ of some of the parameters, in the row's order, to their g, and renew their h."""
        runs = self._runs(params)
        h = {name: _columns(x, runs) for name, x in self.h.items()}
        g = torch.empty_like(gradient)
        n = len(gradient)
        alone = self.rule.coordinatewise
        size = max(block(gradient.device) if alone else n, 1)

        def update(start: int) -> None:
            here = slice(start, start + size)
            before = {name: x[..., here] for name, x in h.items()}
            g[here], after = self.rule.update_of(
                () if alone else params, self.phi, gradient[here], before
            )
            for name, x in before.items():
                if after[name] is not x:
                    x.copy_(after[name])

        _for_each(range(0, n, size), update, gradient.device)
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


def _for_each(starts: Sequence[int], update: Callable[[int], None], device: torch.device) -> None:
    """Call a function of each block; on a CPU in as many threads as PyTorch has."""
    threads = min(len(starts), torch.get_num_threads() if device.type == "cpu" else 1)
    if threads <= 1:
        for start in starts:
            update(start)
        return
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def in_thread(start: int) -> None:
        with torch.inference_mode(modes[1]), torch.set_grad_enabled(modes[0]):
            update(start)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(in_thread, starts))
