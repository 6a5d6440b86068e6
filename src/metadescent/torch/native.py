"""The LSTM's step on rows of coordinates on a CPU in one kernel: `lstm.cc` in this folder.

`blend.cc` is in the same library; `native_blend.py` calls it.

The kernel only saves time: where there is no compiler, on another device, in another precision or
with `METADESCENT_NATIVE=0` in the environment, PyTorch's operations do the same.
"""

import ctypes
import functools
from array import array
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent import _kernels
from metadescent._errors import UserError

GRAIN = 32768
"""Coordinates for one thread: the fewest that PyTorch's own operations give a thread."""

INT, POINTER = ctypes.c_int64, ctypes.c_void_p
TYPES = {
    # layers, φ, scale, x, h, parts, g, threads; φ, x, h and g are matrices.
    "metadescent_lstm_update": [INT, POINTER, ctypes.c_float, *[POINTER] * 4, INT],
    # parts, rows, matrix, columns, whether to copy back.
    "metadescent_bring": [POINTER, POINTER, POINTER, INT, INT],
    # φ, h in parts, arrays, numbers, traits, threads.
    "metadescent_blend_step": [*[POINTER] * 5, INT],
}
WRONG = (None, "x", "φ", "h", "memory that two of them share, or part of it")
"""What the kernel refuses, by its return value; then it has not changed anything."""


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """Return the library in C, or None; the first call compiles and loads it."""
    sources = [Path(__file__).with_name(name) for name in ("lstm.cc", "blend.cc")]
    path = _kernels.compiled(sources, instead="PyTorch's", costs="a step takes 2 to 4")
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    for name, types in TYPES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, INT
    return library


class Renewed(NamedTuple):
    """A leaf of h of several parameters, in memory of their own, which the kernel renews there."""

    places: "Places"
    numbers: slice
    which: int


H = Sequence[Tensor | Renewed]


class Places:
    """Where h of parameters is, with no gaps in a leaf: addresses by parameter, and sizes."""

    def __init__(self, addresses: Sequence[bytes], sizes: Sequence[int]):
        self.width, self.sizes = len(addresses[0]) // 8, array("q", sizes)
        self.addresses = array("q", b"".join(addresses))

    def parts(self, numbers: slice, which: Collection[int]) -> ctypes.Array:
        """Return the kernels' argument for some leaves of some parameters."""
        start, count = numbers.start, numbers.stop - numbers.start
        return (INT * (5 + len(which)))(
            count,
            self.width,
            self.addresses.buffer_info()[0] + 8 * start * self.width,
            self.sizes.buffer_info()[0] + 8 * start,
            len(which),
            *which,
        )

    def bring(
        self, numbers: slice, which: Collection[int], rows: Sequence[int], x: Tensor, *, back: bool
    ) -> None:
        """Copy leaves one after the other into the memory from x on, or back from there."""
        library, n = kernel(), x.shape[-1]
        assert library is not None
        parts = self.parts(numbers, which)
        wrong = library.metadescent_bring(parts, (INT * len(rows))(*rows), x.data_ptr(), n, back)
        assert not wrong


def places(addresses: Sequence[bytes | None], sizes: Sequence[int]) -> Places | None:
    """Return where h of parameters is, or None if no kernel can use it there."""
    known = [x for x in addresses if x]
    if len(known) < len(sizes) or torch.compiler.is_compiling() or kernel() is None:
        return None
    return Places(known, sizes)


def fuses(x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: H) -> bool:
    """Tell whether there is a kernel that takes tensors of this kind."""
    h = [y for y in state if isinstance(y, Tensor)]
    # Leaves are only `Renewed` if there is a kernel.
    if len(h) < len(state):
        return True
    rows = [x, *h]
    return (
        len(h) > 0
        and not torch.compiler.is_compiling()
        and all(_is_plain(y) for y in (*rows, *phi))
        # Rows may have any distance, but each row has to be without gaps.
        and all(y.dim() == 2 and y.stride(1) == 1 for y in rows)
        and all(y.stride(0) == h[0].stride(0) for y in h)
        and all(y.is_contiguous() for y in phi)
        # Last, because the first call compiles.
        and kernel() is not None
    )


def fused_update(
    x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: H, scale: float
) -> Float[Tensor, " n"]:
    """Renew h of n coordinates in its own memory, and return their g.

    φ is (weight_ih, weight_hh, bias) of each layer, then the output's weight and bias; h is (h, c)
    of each layer, units × coordinates.
    """
    g = x.new_empty(x.shape[1])
    _run(x, phi, state, scale, g)
    return g


def fused_renew(x: Float[Tensor, "features n"], phi: Sequence[Tensor], state: H) -> None:
    """Renew h of n coordinates in its own memory, as `fused_update` does, without an output."""
    _run(x, phi, state, 0.0, None)


def _run(x: Tensor, phi: Sequence[Tensor], state: H, scale: float, g: Tensor | None) -> None:
    library, n, layers = kernel(), x.shape[-1], len(state) // 2
    assert library is not None
    if len(state) != 2 * layers or len(phi) != 3 * layers + 2 * (g is not None):
        raise UserError(
            f"the LSTM is given {len(phi)} arrays of φ and {len(state)} of h; a layer has 3 and 2"
        )
    h = [y for y in state if isinstance(y, Tensor)]
    apart = [y for y in state if isinstance(y, Renewed)]
    places = apart[0].places.parts(apart[0].numbers, [y.which for y in apart]) if apart else None
    # A block of `Row.update` has at most so many coordinates, and already runs in a thread.
    threads = 1 if n <= GRAIN else torch.get_num_threads()
    wrong = library.metadescent_lstm_update(
        layers,
        matrices(phi),
        scale,
        matrices([x]),
        None if apart else matrices(h),
        places,
        None if g is None else matrices([g]),
        threads,
    )
    if wrong:
        shapes = ", ".join(str(list(y.shape)) for y in h) or "in parts"
        raise UserError(
            f"the LSTM's kernel cannot take {WRONG[wrong]}, with x {list(x.shape)} and h {shapes}; "
            "h must be units × coordinates of x, in memory of its own"
        )


def _is_plain(x: Tensor) -> bool:
    return (
        type(x) is Tensor  # a subclass may have its memory elsewhere, or none
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not (x.requires_grad and torch.is_grad_enabled())
    )


def matrices(tensors: Sequence[Tensor]) -> ctypes.Array:
    """Return where tensors are: address, rows, columns, stride, and the room in the memory."""
    numbers: list[Any] = []
    for x in tensors:
        rows, columns = (1, *x.shape)[-2:]
        is_one = x.dtype == torch.float32 and x.device.type == "cpu" and x.dim() in (1, 2)
        # Rows must have no gaps. A count of −1 rows makes the kernel refuse the tensor.
        if not is_one or (columns > 1 and x.stride(-1) != 1):
            rows = -1
        room = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
        numbers += x.data_ptr(), rows, columns, x.stride(0), room
    return (INT * len(numbers))(*numbers)
