"""Arrays of floats out of a pickle, of which nothing is run.

A pickle is a program, and `pickle.load` imports and calls whatever it names. Here the standard
library's unpickler keeps only the instructions that tables and arrays take, and is handed a stub of
ours for every name: nothing is imported, and nothing called but stubs.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path

# The one in Python: that in C makes room for as many memos as a file claims to have.
from pickle import _Unpickler
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError
from metadescent._files import read_bytes

Tables = dict[str, dict[str, NDArray[np.floating]]]


def read_tables(path: str | Path) -> Tables:
    """Return the arrays of a pickled {name: {name: array of floats}}, such as an `.l2l` file.

    Read is what Python 2 writes in protocol 2 and Python 3 in 3 and 4, by `pickle` or by `dill`.
    """
    file = BytesIO(read_bytes(Path(path)))
    reader = _Reader(file)
    try:
        value = reader.load()
        if reader.stack or reader.metastack or file.read(1):
            raise _RefusedError("more than one value")
        # Only tables have items, and only built arrays have content.
        tables = {name: {k: x.content for k, x in of.items()} for name, of in value.items()}
        # One array may stand in many places of the file, but is not to fill the memory from there.
        if sum(x.nbytes for table in tables.values() for x in table.values()) > file.tell():
            raise _RefusedError("more numbers than it is long")
        return tables
    except _RefusedError as error:
        reason = str(error)
    except AttributeError:
        reason = "no tables of arrays"
    except Exception:  # Whatever the program of a stranger stumbles over.
        reason = "instructions that do not fit together"
    raise UserError(
        f"{path} has {reason} and must be a pickle of nothing but arrays of floats, by names; "
        "nothing in it was run, try another file"
    )


class _RefusedError(Exception):
    """The file has what arrays do not take; the text says what."""


class _Table(dict[str, Any]):
    def __setitem__(self, name: Any, value: Any) -> None:
        if not isinstance(name, str):
            raise _RefusedError("a table of no names")
        super().__setitem__(name, value)


@dataclass
class _Dtype:
    code: str  # without its byte order at first, such as "f4"


class _Array:
    content: NDArray[np.floating]  # arrives in a second step


_MULTIARRAY = ("numpy.core.multiarray", "numpy.core._multiarray_umath", "numpy._core.multiarray")
# All that a file may name, and the modules that it may name it of.
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
    """What stands for a thing that the file names; its call makes what stands for the result."""

    name: str

    def __call__(self, *arguments: Any) -> Any:
        match self.name, arguments:
            case "defaultdict", (_Stub("dict"),):
                return _Table()
            case "dtype", ("f4" | "f8" as code, _, _):
                return _Dtype(code)
            case "_reconstruct", (_Stub("ndarray"), _, _):
                return _Array()
            # dill goes a long way round to `dict` and `_reconstruct`.
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
        super().__init__(file, encoding="latin-1")  # Python 2 has strings for bytes.
        # One string may stand for the numbers of many arrays, and is copied once.
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
                # −1 would be as many as there are.
                if any(type(n) is not int or n < 0 for n in shape):
                    raise ValueError
                raw = self._to_bytes(numbers) if isinstance(numbers, str) else numbers
                order = "F" if by_columns else "C"
                array.content = np.frombuffer(raw, code).reshape(shape, order=order)
            case _:
                raise _RefusedError("a state for what is no array")

    dispatch[_CODES["BUILD"]] = _build
    dispatch[_CODES["EMPTY_DICT"]] = lambda self: self.append(_Table())
    # A frame only says how far to read ahead, which is ignored.
    dispatch[_CODES["FRAME"]] = lambda self: self.read(8)
