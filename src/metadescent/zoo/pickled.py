"""Arrays of floats from a pickle; no code from it is run.

A pickle is a program, and `pickle.load` imports and calls whatever it names. This reader is the
standard library's unpickler with only the instructions that tables and arrays need. For every name
it gets a stub of ours, so nothing is imported, and only stubs are called.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path

# The one in Python, because that in C makes room for as many memos as a file claims.
from pickle import _Unpickler
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError
from metadescent._files import read_bytes

Tables = dict[str, dict[str, NDArray[np.floating]]]


def read_tables(path: str | Path) -> Tables:
    """Return the arrays of a pickled {name: {name: array of floats}}, such as an `.l2l` file.

    It reads protocol 2 of Python 2 and protocols 3 and 4 of Python 3, by `pickle` or by `dill`.
    """
    file = BytesIO(read_bytes(Path(path)))
    reader = _Reader(file)
    try:
        value = reader.load()
        if reader.stack or reader.metastack or file.read(1):
            raise _RefusedError("more than one value")
        # Only tables have items, and only arrays that were built have content.
        tables = {name: {k: x.content for k, x in of.items()} for name, of in value.items()}
        # The file may refer to one array many times, which must not fill the memory.
        if sum(x.nbytes for table in tables.values() for x in table.values()) > file.tell():
            raise _RefusedError("more numbers than it is long")
        return tables
    except _RefusedError as error:
        reason = str(error)
    except AttributeError:
        reason = "no tables of arrays"
    except Exception:  # a stranger's program may fail in any way
        reason = "instructions that do not fit together"
    raise UserError(
        f"{path} has {reason} and must be a pickle of nothing but arrays of floats, by names; "
        "nothing in it was run, try another file"
    )


class _RefusedError(Exception):
    """The file has something that arrays do not need; the text says what."""


class _Table(dict[str, Any]):
    def __setitem__(self, name: Any, value: Any) -> None:
        if not isinstance(name, str):
            raise _RefusedError("a table of no names")
        super().__setitem__(name, value)


@dataclass
class _Dtype:
    code: str  # without the byte order in front, such as "f4"


class _Array:
    content: NDArray[np.floating]  # set in a second step


_MULTIARRAY = ("numpy.core.multiarray", "numpy.core._multiarray_umath", "numpy._core.multiarray")
# All names that a file may use, each with the modules that it may be from.
_NAMES = {
    "defaultdict": ("collections",),
    "dict": ("builtins", "__builtin__"),
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "_reconstruct": _MULTIARRAY,
    **dict.fromkeys(("_load_type", "_import_module", "_get_attr"), ("dill._dill", "dill.dill")),
}


@dataclass(frozen=True)
class _Stub:
    """A stand-in for a thing that the file names; its call returns one for the result."""

    name: str

    def __call__(self, *arguments: Any) -> Any:
        match self.name, arguments:
            case "defaultdict", (_Stub("dict"),):
                return _Table()
            case "dtype", ("f4" | "f8" as code, _, _):
                return _Dtype(code)
            case "_reconstruct", (_Stub("ndarray"), _, _):
                return _Array()
            # dill takes a detour to `dict` and `_reconstruct`.
            case "_load_type", ("dict" | "DictType",):
                return _Stub("dict")
            case "_import_module", (str(module),) if module in _MULTIARRAY:
                return _Stub("multiarray")
            case "_get_attr", (_Stub("multiarray"), "_reconstruct"):
                return _Stub("_reconstruct")
        raise _RefusedError(f"a call of {self.name} that makes no array")


_CODES = {op.name: ord(op.code) for op in pickletools.opcodes}
_KEPT = {
    *("PROTO", "MARK", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES"),
    *("SHORT_BINBYTES", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "SETITEM"),
    *("SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL"),
    *("STACK_GLOBAL", "REDUCE"),
}


def _refuse(name: str, _: _Unpickler) -> None:
    raise _RefusedError(f"the instruction {name}")


class _Reader(_Unpickler):
    stack: list[Any]
    metastack: list[Any]
    dispatch: ClassVar[dict[int, Callable[[Any], Any]]] = {
        code: _Unpickler.dispatch[code] if name in _KEPT else partial(_refuse, name)
        for name, code in _CODES.items()
    }

    def __init__(self, file: BytesIO):
        super().__init__(file, encoding="latin-1")  # strings of Python 2 are bytes
        # Many arrays may refer to one string of numbers, which is copied only once.
        self._to_bytes = cache(lambda text: text.encode("latin-1"))

    def find_class(self, module: str, name: str) -> _Stub:
        if module not in _NAMES.get(name, ()):
            raise _RefusedError(f"the name {f'{module}.{name}'[:60]!a}")
        return _Stub(name)

    def _build(self) -> None:
        match self.stack.pop(), self.stack[-1]:
            case (_, "<" | ">" as order, *_), _Dtype() as dtype:
                dtype.code = order + dtype.code[-2:]
            case (_, shape, _Dtype(code), by_columns, numbers), _Array() as array:
                # NumPy would read −1 as any size.
                if any(type(n) is not int or n < 0 for n in shape):
                    raise ValueError
                raw = self._to_bytes(numbers) if isinstance(numbers, str) else numbers
                order = "F" if by_columns else "C"
                array.content = np.frombuffer(raw, code).reshape(shape, order=order)
            case _:
                raise _RefusedError("a state for what is no array")

    dispatch[_CODES["BUILD"]] = _build
    dispatch[_CODES["EMPTY_DICT"]] = lambda self: self.append(_Table())
    # A frame only says how far to read ahead, and can be ignored.
    dispatch[_CODES["FRAME"]] = lambda self: self.read(8)
