"""The LSTM's step on rows of coordinates on a CPU, fused: what `lstm.cc` beside this computes.

It is an accelerator and nothing more: where there is no compiler, on another device, in another
precision or with `METADESCENT_NATIVE=0` in the environment, PyTorch's operations do the same.
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent import _kernels
from metadescent._errors import UserError

GRAIN = 32768
"""Coordinates that one thread does: as many as PyTorch's own operations give one at least."""

INT, POINTER = ctypes.c_int64, ctypes.c_void_p
# layers, φ, scale, x, h, g, threads; all between are matrices.
TYPES = [INT, POINTER, ctypes.c_float, POINTER, POINTER, POINTER, INT]
WRONG = (None, "x", "φ", "h", "memory that two of them share, or part of it")
"""What the kernel says that it cannot take, before it has touched anything."""


@functools.cache
def kernel() -> Callable[..., None] | None:
    """Return the function in C, which the first call compiles and loads, or None."""
    sources = [Path(__file__).with_name("lstm.cc")]
    path = _kernels.compiled(sources, instead="PyTorch's", costs="a step takes 2 to 4")
    if path is None:
        return None
    function = ctypes.CDLL(str(path)).metadescent_lstm_update
    function.argtypes, function.restype = TYPES, INT
    return function


def fuses(x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: Sequence[Tensor]) -> bool:
    """Return whether there is a kernel, and for tensors of this kind."""
    rows = [x, *state]
    return (
        len(state) > 0
        and not torch.compiler.is_compiling()
        and all(_is_plain(y) for y in (*rows, *phi))
        # Rows may be any distance apart, but each of them is in one piece.
        and all(y.dim() == 2 and y.stride(1) == 1 for y in rows)
        and all(y.stride(0) == state[0].stride(0) for y in state)
        and all(y.is_contiguous() for y in phi)
        # Last, as the first call compiles.
        and kernel() is not None
    )


def fused_update(
    x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: Sequence[Tensor], scale: float
) -> Float[Tensor, " n"]:
    """Renew h of n coordinates where it lies, and return their g.

    φ is (weight_ih, weight_hh, bias) of each layer, then the output's weight and bias; h is (h, c)
    of each layer, units × coordinates.
    """
    g = x.new_empty(x.shape[1])
    _run(x, phi, state, scale, g)
    return g


def fused_renew(
    x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: Sequence[Tensor]
) -> None:
    """Renew h of n coordinates where it lies, as `fused_update` does, with no output."""
    _run(x, phi, state, 0.0, None)


def _run(
    x: Tensor, phi: Sequence[Tensor], state: Sequence[Tensor], scale: float, g: Tensor | None
) -> None:
    run, n, layers = kernel(), x.shape[-1], len(state) // 2
    assert run is not None
    if len(state) != 2 * layers or len(phi) != 3 * layers + 2 * (g is not None):
        raise UserError(
            f"the LSTM is given {len(phi)} arrays of φ and {len(state)} of h; a layer has 3 and 2"
        )
    # A block of `Row.update` is no longer than this, and has a thread already.
    threads = 1 if n <= GRAIN else torch.get_num_threads()
    wrong = run(
        layers,
        _matrices(phi),
        scale,
        _matrices([x]),
        _matrices(state),
        None if g is None else _matrices([g]),
        threads,
    )
    if wrong:
        shapes = ", ".join(str(list(h.shape)) for h in state)
        raise UserError(
            f"the LSTM's kernel cannot take {WRONG[wrong]}, with x {list(x.shape)} and h {shapes}; "
            "h must be units × coordinates of x, in memory of its own"
        )


def _is_plain(x: Tensor) -> bool:
    return (
        type(x) is Tensor  # a subclass may lie anywhere, or nowhere
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not (x.requires_grad and torch.is_grad_enabled())
    )


def _matrices(tensors: Sequence[Tensor]) -> ctypes.Array:
    """Return where tensors lie: address, rows, columns, stride, and the room that there is."""
    numbers: list[Any] = []
    for x in tensors:
        rows, columns = (1, *x.shape)[-2:]
        is_one = x.dtype == torch.float32 and x.device.type == "cpu" and x.dim() in (1, 2)
        # Along a row there are no gaps. No matrix has −1 rows, so the kernel refuses that.
        if not is_one or (columns > 1 and x.stride(-1) != 1):
            rows = -1
        room = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
        numbers += x.data_ptr(), rows, columns, x.stride(0), room
    return (INT * len(numbers))(*numbers)
