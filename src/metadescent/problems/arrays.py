"""A user's data as JAX arrays; an error is raised where values would be lost.

By default JAX's numbers have 32 bits. Integers of 64 bits wrap around, so that the milliseconds
1700000000000 become −807049216, and floating-point numbers are rounded. Rounding does no harm,
unless values become infinite or different values become equal.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from metadescent._errors import UserError
from metadescent._text import short

# Rounding may change the values of a column by at most this part of the column's range.
_LOSS = 1e-3
# A range below this part of the values may consist of float64's own rounding errors.
_NOISE = 1e-12
_MEND = "subtract an offset or divide in NumPy first"
_HINTS = {
    "M": "subtract the first and divide by numpy.timedelta64(1, 's')",
    "m": "divide by numpy.timedelta64(1, 's')",
    "V": "give its fields as a dict of arrays",
    "O": "try numpy.array(…, float), and lists of one length",
    **dict.fromkeys("UST", "leave it out or try numpy.unique(…, return_inverse=True)[1]"),
}


def as_arrays(data: PyTree, name: str) -> PyTree[Array]:
    """Return data as arrays; a UserError names a leaf that is no array or would lose values."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: as_array(leaf, name + jax.tree_util.keystr(path)), data
    )


def as_array(value: Any, name: str) -> Array:
    """Return a value as an array; JAX's own keys and arrays come back unchanged."""
    if isinstance(value, jax.Array) or hasattr(value, "__jax_array__"):
        return jnp.asarray(value)
    return jnp.asarray(_checked(value, name))


def as_labels(values: Any, name: str) -> Int[Array, " examples"]:
    """Return the labels of examples, whole numbers from 0 on."""
    labels = as_array(values, name)
    if labels.size and not (jnp.issubdtype(labels.dtype, jnp.integer) and labels.min() >= 0):
        raise UserError(
            f"{name} are {labels.dtype} from {labels.min()} to {labels.max()} and must be whole "
            f"numbers from 0 on; try numpy.unique({name}, return_inverse=True)[1]"
        )
    return labels.astype(jnp.int32)


def check_fields(owner: Any) -> None:
    """Raise a UserError if an array in a field of a problem or an optimizee would lose values."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(owner):
        # JAX's own arrays are rounded already, and values of other types never become arrays.
        if isinstance(leaf, np.ndarray | np.generic):
            _checked(leaf, type(owner).__name__ + jax.tree_util.keystr(path))


def check_constants(function: Callable[..., Any], *arguments: Any) -> None:
    """Raise a UserError if an array that a function closes over or makes would lose values."""
    constants: list[np.ndarray] = []
    # With 64 bits the program has the arrays unrounded. A function that cannot be traced in this
    # way is not checked.
    with suppress(Exception), jax.enable_x64(True):
        constants = [*_constants(jax.make_jaxpr(function)(*arguments))]
    for array in constants:
        _checked(array, f"an array of shape {array.shape} that f reads")


def _constants(program: Any) -> Iterator[np.ndarray]:
    """Yield a program's arrays of 64 bits, but no scalars, which may be JAX's own."""
    inner = getattr(program, "jaxpr", program)
    read = [x.val for step in inner.eqns for x in step.invars if hasattr(x, "val")]
    for value in (*getattr(program, "consts", ()), *read):
        dtype = getattr(value, "dtype", np.dtype(bool))
        if np.ndim(value) and isinstance(dtype, np.dtype) and dtype.itemsize > 4:
            yield np.asarray(value)
    for step in inner.eqns:
        for part in jax.tree.leaves([*step.params.values()], is_leaf=_is_program):
            if _is_program(part):
                yield from _constants(part)


def _is_program(x: Any) -> bool:
    return hasattr(x, "eqns")


def _checked(value: Any, name: str) -> np.ndarray:
    """Return a value as a NumPy array that JAX can take with no loss except rounding."""
    # The mask is read as bytes, because the mask of a structured array has no any().
    if isinstance(value, np.ma.MaskedArray) and any(np.ma.getmaskarray(value).tobytes()):
        raise UserError(f"{name} is masked and would lose its mask; try {name}.filled(0)")
    try:
        array = np.asarray(value)
    except Exception as error:
        # PyTorch may raise any class, for a tensor with a gradient or on another device.
        raise UserError(
            f"{name} is a {type(value).__name__} and cannot be an array: "
            f"{str(error).rstrip('.')}; try numpy.asarray on what it holds"
        ) from error
    dtype = array.dtype
    # Dtypes of ml_dtypes, such as bfloat16, have the kind "V" too, but are numbers. NumPy counts
    # time spans as numbers, so the kind is checked as well.
    if dtype.kind not in "biufcV" or not (dtype.kind == "b" or jnp.issubdtype(dtype, np.number)):
        what = f"of dtype {dtype}" if isinstance(value, np.ndarray) else short(value)
        hint = _HINTS.get(dtype.kind, _HINTS["O"])
        raise UserError(f"{name} is {what} and must be an array of numbers; {hint}")
    array = array.astype(dtype.newbyteorder("="), copy=False)
    # JAX has no floating-point numbers of more than 64 bits, as NumPy's longdouble may have.
    widest = {"f": np.float64, "c": np.complex128}.get(dtype.kind)
    is_wider = widest is not None and dtype.itemsize > np.dtype(widest).itemsize
    narrow = jax.dtypes.canonicalize_dtype(widest if is_wider else array.dtype)
    if narrow != array.dtype and array.size:
        check = _check_whole if dtype.kind in "iu" else _check_rounded
        check(array, narrow, f"{name} is {array.dtype}")
    return array.astype(widest, copy=False) if is_wider else array


def _check_whole(array: np.ndarray, narrow: np.dtype, subject: str) -> None:
    for value in (array.max(), array.min()):
        if value != (wrapped := value.astype(narrow)):
            raise UserError(
                f"{subject} and holds {value}, which becomes {wrapped} in JAX's {narrow}; {_MEND}, "
                "or set JAX_ENABLE_X64=1"
            )


def _check_rounded(array: np.ndarray, narrow: np.dtype, subject: str) -> None:
    if array.dtype.kind == "c":
        array = np.stack([np.real(array), np.imag(array)], -1)
    narrow = np.finfo(narrow).dtype
    mend = f"{_MEND}, or set JAX_ENABLE_X64=1" if narrow.itemsize < 8 else _MEND
    # Each column is checked by itself, because columns may have different units.
    array = array.reshape(len(array) if array.ndim else 1, -1)
    finite = np.isfinite(array)
    low = np.min(array, 0, where=finite, initial=np.inf)
    high = np.max(array, 0, where=finite, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        most, spread = np.maximum(abs(low), abs(high)), high - low
        beyond = np.isfinite(most) & np.isinf(most.astype(narrow))
        step = np.spacing(most.astype(narrow))
        is_fine = (spread > _NOISE * most) & (_LOSS * spread < step)
    if beyond.any():
        value = most[beyond].max()
        raise UserError(f"{subject} and holds ±{value!s}, which is inf in JAX's {narrow}; {mend}")
    for column in np.flatnonzero(is_fine):
        values = array[finite[:, column], column]
        if abs(values - values.astype(narrow)).max() > _LOSS * spread[column]:
            raise UserError(
                f"{subject} and runs from {low[column]} to {high[column]}, where JAX's {narrow} "
                f"has steps of {step[column]}; {mend}"
            )
