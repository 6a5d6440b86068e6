"""The LSTM's step on rows of coordinates on a CPU, fused: what `lstm.cc` beside this computes.

It is an accelerator and nothing more: where there is no compiler, on another device, in another
precision or with `METADESCENT_NATIVE=0` in the environment, PyTorch's operations do the same.
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent import _kernels

GRAIN = 32768
"""Coordinates that one thread does: as many as PyTorch's own operations give one at least."""

INT, POINTER = ctypes.c_int64, ctypes.c_void_p
# layers, sizes, φ, scale, x and its stride, h and its stride, g, n, threads.
TYPES = [INT, POINTER, POINTER, ctypes.c_float, POINTER, INT, POINTER, INT, POINTER, INT, INT]


@functools.cache
def kernel() -> Callable[..., None] | None:
    """Return the function in C, which the first call compiles and loads, or None."""
    path = _kernels.compiled([Path(__file__).with_name("lstm.cc")], instead="PyTorch's")
    if path is None:
        return None
    function = ctypes.CDLL(str(path)).metadescent_lstm_update
    function.argtypes, function.restype = TYPES, None
    return function


def fuses(x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: Sequence[Tensor]) -> bool:
    """Return whether there is a kernel, and for tensors of this kind."""
    rows = [x, *state]
    return (
        len(state) > 0
        and not torch.compiler.is_compiling()
        and all(_is_plain(y) for y in (*rows, *phi))
        # Rows may be any distance apart, but each of them is in one piece.
        and all(y.stride(1) == 1 for y in rows)
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
    _run(x, phi, state, scale, g.data_ptr())
    return g


def fused_renew(
    x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: Sequence[Tensor]
) -> None:
    """Renew h of n coordinates where it lies, as `fused_update` does, with no output."""
    _run(x, phi, state, 0.0, None)


def _run(
    x: Tensor, phi: Sequence[Tensor], state: Sequence[Tensor], scale: float, g: int | None
) -> None:
    run, n, layers = kernel(), x.shape[1], len(state) // 2
    assert run is not None
    sizes = (INT * (layers + 1))(len(x), *(len(h) for h in state[::2]))
    # A block of `Row.update` is no longer than this, and has a thread already.
    threads = 1 if n <= GRAIN else torch.get_num_threads()
    rows = x.data_ptr(), x.stride(0), _pointers(state), state[0].stride(0)
    run(layers, sizes, _pointers(phi), scale, *rows, g, n, threads)


def _is_plain(x: Tensor) -> bool:
    return (
        type(x) is Tensor  # a subclass may lie anywhere, or nowhere
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not (x.requires_grad and torch.is_grad_enabled())
    )


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array:
    return (POINTER * len(tensors))(*(x.data_ptr() for x in tensors))
