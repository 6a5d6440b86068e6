"""The step of `blend` on a row of tensors on a CPU, fused: what `blend.cc` beside this computes.

Where the kernel does not run, PyTorch's operations do the same (`rules/blend.py`).
"""

import functools
import math
from array import array
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from metadescent._errors import UserError
from metadescent.optimizers.blend_constants import (
    BY_ASPECT,
    BY_DEPTH,
    CEILING,
    COEFFICIENTS,
    FAINT,
    FARTHEST,
    FAST,
    ITERATIONS,
    ROWS,
    SLOW,
    SQUARE,
    TINY,
)
from metadescent.torch import native
from metadescent.torch.row import Row, Tensors
from metadescent.torch.stack import aspect_of, depth_of, larger_side, sides

LEAVES = ("fast", "slow", "square", "figures", "t")
PHI = ("p", "W_1", "b_1", "W_2", "b_2")
REFUSED = (None, "φ", "h", "∇, θ or g", "the numbers of the step or of tensors")
"""What the kernel says that it cannot take, before it has touched anything."""
KIND: Any = {"dtype": torch.float32, "device": "cpu"}
"""Of what is handed to the kernel, whatever a program's defaults are."""


def can_step(row: Row, params: Sequence[Tensor], gradients: Sequence[Tensor]) -> bool:
    """Return whether there is a kernel, which finds h and flat gradients where they lie."""
    return (
        row.places is not None
        # A subclass may lie anywhere; a DTensor is one, and of it there is a part here.
        and {*map(type, params)} <= {Tensor, Parameter}
        and {*map(type, gradients)} <= {Tensor}
        and {(x.device.type, x.dtype) for x in gradients} <= {("cpu", torch.float32)}
        # A kernel reads memory, in which a sign may still be missing.
        and not any(map(Tensor.is_neg, gradients))
        and all(map(Tensor.is_contiguous, gradients))
    )


def fused_step(
    phi: Tensors,
    gradients: Sequence[Tensor],
    row: Row,
    params: Sequence[Tensor],
    moments: Sequence[Float[Tensor, " tensors"]],
    kappa: float,
) -> Float[Tensor, " n"]:
    """Return g of a row and renew its h, t included, given ∇ of each parameter, flat.

    `moments` are numbers of the step that depend on t of each tensor: 1 − β^t of the three means,
    what time it is, and c.
    """
    library, places = native.kernel(), row.places
    assert library is not None
    assert places is not None
    shapes = tuple(p.shape for p in params)
    forms, traits = _known(shapes)
    g = torch.empty(sum(places.sizes), **KIND)
    numbers = _numbers(moments, kappa, depth_of(params))
    thetas = [*map(_as_read, params)]
    arrays = _arrays(forms, places.sizes, gradients, thetas, g)
    wrong = library.metadescent_blend_step(
        native.matrices([phi[name] for name in PHI]),
        places.parts(slice(0, len(params)), [row.which[name] for name in LEAVES]),
        arrays.buffer_info()[0],
        native.matrices([numbers]),
        native.matrices([traits]),
        1 if len(g) <= native.GRAIN else torch.get_num_threads(),
    )
    if wrong:
        raise UserError(
            f"the kernel of blend cannot take {REFUSED[wrong]} of {len(params)} tensors of "
            f"{len(g)} coordinates; try METADESCENT_NATIVE=0"
        )
    return g


@functools.lru_cache(maxsize=16)
def _known(
    shapes: tuple[torch.Size, ...],
) -> tuple[list[tuple[int, int, int]], Float[Tensor, "tensors 4"]]:
    """Return of each whether it is a matrix, its rows and columns, and the kernel's traits."""
    forms = [(int(len(s) > 1), *(sides(s) if len(s) > 1 else (1, s.numel()))) for s in shapes]
    widths = [larger_side(shape) for shape in shapes]
    traits = [
        (float(len(shape) > 1), math.log10(n), aspect_of(shape), float(n))
        for shape, n in zip(shapes, widths, strict=True)
    ]
    return forms, torch.tensor(traits, **KIND)


def _arrays(
    forms: Sequence[tuple[int, int, int]],
    sizes: Sequence[int],
    gradients: Sequence[Tensor],
    thetas: Sequence[Tensor],
    g: Tensor,
) -> array:
    """Return what the kernel takes of each tensor: its form, and where ∇, θ and g lie."""
    assert [*map(Tensor.numel, gradients)] == [*sizes]
    numbers, place = array("q"), g.data_ptr()
    pairs = zip(map(_address, gradients), map(_address, thetas), strict=True)
    for form, size, read in zip(forms, sizes, pairs, strict=True):
        numbers.extend((*form, *read, place))
        place += 4 * size
    return numbers


def _as_read(p: Tensor) -> Tensor:
    """Return θ of a parameter as the kernel reads it: in float32, without gaps."""
    return p if p.dtype == torch.float32 and p.is_contiguous() else p.to(torch.float32).contiguous()


def _address(x: Tensor) -> int:
    """Return where a tensor lies, or 0 if its memory is gone."""
    end = (x.storage_offset() + x.numel()) * x.element_size()
    return x.data_ptr() if x.untyped_storage().nbytes() >= end else 0


def _numbers(
    moments: Sequence[Float[Tensor, " tensors"]], kappa: float, depth: int
) -> Float[Tensor, "tensors numbers"]:
    """Return the numbers of a step for each tensor, in the order of `Numbers` in the kernel."""
    means = [x for beta in (FAST, SLOW, SQUARE) for x in (beta, 1 - beta)]
    bounds = (kappa, FARTHEST, CEILING, FAINT, TINY, math.log(depth), BY_DEPTH, BY_ASPECT)
    rest = (*bounds, *COEFFICIENTS, ITERATIONS, ROWS)
    own = torch.stack([*moments], 1)
    count = len(own)
    before, after = (torch.tensor(x, **KIND).expand(count, -1) for x in (means, rest))
    return torch.cat([before, own, after], 1)
