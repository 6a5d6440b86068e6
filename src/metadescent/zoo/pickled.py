"""Arrays of floats out of a pickle, without unpickling.

A pickle is a program, and `pickle.load` imports and calls whatever it names. Here the standard
library splits the file into instructions and no more. The machine below carries out those that make
tables and arrays of floats; what a file names only ever stands for itself, and nothing is imported.
Whatever is not on the lists of this file is refused.
"""

import pickletools
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError
from metadescent._files import read_bytes

Tables = dict[str, dict[str, NDArray[np.floating]]]


def read_tables(path: str | Path) -> Tables:
    """Return the arrays of a pickled {name: {name: array of floats}}, such as an `.l2l` file.

    Read is what Python 2 writes in protocol 2 and Python 3 in 3 and 4, by `pickle` or by `dill`.

    Raises:
        UserError: if the file cannot be read, or has anything else; nothing that it asks for is
            done.

    Example:
        >>> import pickle, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "cw.l2l"
        ...     _ = path.write_bytes(pickle.dumps({"linear": {"b": np.ones(2)}}, protocol=4))
        ...     read_tables(path)["linear"]["b"].tolist()
        [1.0, 1.0]
    """
    path = Path(path)
    data, machine = read_bytes(path), _Machine()
    try:
        for code, argument, place in pickletools.genops(data):
            if code.name != "STOP":
                machine.do(code.name, argument)
            elif place != len(data) - 1:
                raise _RefusedError("more behind its end")
        return _tables(machine.stack)
    except _RefusedError as error:
        reason = str(error)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError):
        reason = "instructions that do not fit together"
    raise UserError(
        f"{path} has {reason} and must be a pickle of nothing but arrays of floats, by names; "
        "nothing in it was run, try another file"
    )


class _RefusedError(Exception):
    """The file has what arrays do not take; the text says what."""


class _Named(Enum):
    """What a file may name. A member only stands for the thing."""

    DEFAULTDICT = "collections.defaultdict"
    DICT = "dict"
    NDARRAY = "numpy.ndarray"
    DTYPE = "numpy.dtype"
    RECONSTRUCT = "numpy's maker of an array that has nothing yet"
    MULTIARRAY = "the module of numpy that has it"
    LOAD_TYPE = "dill's way to a type"
    IMPORT_MODULE = "dill's way to a module"
    GET_ATTR = "dill's way to what a module has"


_MULTIARRAY = ("numpy.core.multiarray", "numpy.core._multiarray_umath", "numpy._core.multiarray")
_NAMES = {
    "collections defaultdict": _Named.DEFAULTDICT,
    "builtins dict": _Named.DICT,
    "__builtin__ dict": _Named.DICT,
    "numpy ndarray": _Named.NDARRAY,
    "numpy dtype": _Named.DTYPE,
    **{f"{module} _reconstruct": _Named.RECONSTRUCT for module in _MULTIARRAY},
}
for _dill in ("dill._dill", "dill.dill"):
    _NAMES |= {
        f"{_dill} _load_type": _Named.LOAD_TYPE,
        f"{_dill} _import_module": _Named.IMPORT_MODULE,
        f"{_dill} _get_attr": _Named.GET_ATTR,
    }


class _Dtype:
    """A dtype of floats; its byte order arrives later."""

    def __init__(self, code: str):
        self.code = code

    def build(self, state: Any) -> None:
        if state[1] not in ("<", ">"):
            raise _RefusedError("a dtype of no byte order")
        self.code = state[1] + self.code[-2:]


class _Array:
    """An array; its shape, dtype and numbers arrive later."""

    content: NDArray[np.floating] | None = None

    def build(self, state: Any) -> None:
        _, shape, dtype, by_columns, numbers = state
        if not isinstance(dtype, _Dtype) or any(type(n) is not int or n < 0 for n in shape):
            raise _RefusedError("an array that is not one of floats")
        # Python 2 has strings for bytes, which the standard library reads as Latin-1.
        raw = numbers.encode("latin-1") if isinstance(numbers, str) else numbers
        flat = np.frombuffer(raw, dtype.code)
        self.content = flat.reshape(shape, order="F" if by_columns else "C")


def _call(named: Any, arguments: Any) -> Any:
    """Return what a call of something named stands for."""
    match named, arguments:
        case _Named.DEFAULTDICT, (_Named.DICT,):
            return {}
        case _Named.LOAD_TYPE, ("dict" | "DictType",):
            return _Named.DICT
        case _Named.IMPORT_MODULE, (str(module),) if module in _MULTIARRAY:
            return _Named.MULTIARRAY
        case _Named.GET_ATTR, (_Named.MULTIARRAY, "_reconstruct"):
            return _Named.RECONSTRUCT
        case _Named.RECONSTRUCT, (_Named.NDARRAY, _, _):
            return _Array()
        case _Named.DTYPE, ("f4" | "f8" as code, _, _):
            return _Dtype(code)
    what = named.value if isinstance(named, _Named) else "what is no function"
    raise _RefusedError(f"a call of {what} that makes no array")


class _Machine:
    """The machine that a pickle is a program for, less all that is not on the lists."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise _RefusedError(f"the instruction {name}")

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError
        cut = len(self.stack) - count
        popped, self.stack = self.stack[cut:], self.stack[:cut]
        return popped

    def pop_to_mark(self) -> list[Any]:
        return self.pop(len(self.stack) - self.marks.pop())

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def remember(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def name(self, text: str) -> None:
        if text not in _NAMES:
            raise _RefusedError(f"the name {text[:60].replace(' ', '.', 1)!a}")
        self.push(_NAMES[text])

    def name_from_stack(self) -> None:
        module, name = self.pop(2)
        self.name(f"{module} {name}" if isinstance(module, str) and isinstance(name, str) else "?")

    def reduce(self) -> None:
        named, arguments = self.pop(2)
        self.push(_call(named, arguments))

    def build(self) -> None:
        (state,) = self.pop(1)
        if not isinstance(self.stack[-1], _Array | _Dtype):
            raise _RefusedError("a state for what is no array")
        self.stack[-1].build(state)

    def fill(self, items: list[Any]) -> None:
        table = self.stack[-1]
        if not isinstance(table, dict) or not all(isinstance(key, str) for key in items[::2]):
            raise _RefusedError("a table of no names")
        table.update(zip(items[::2], items[1::2], strict=True))


_LITERALS = {
    *("BININT", "BININT1", "BININT2"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES"),
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "SETITEM": lambda m, _: m.fill(m.pop(2)),
    "SETITEMS": lambda m, _: m.fill(m.pop_to_mark()),
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "MEMOIZE": lambda m, _: m.remember(None),
    "BINGET": lambda m, place: m.push(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.push(m.memo[place]),
    "GLOBAL": lambda m, text: m.name(text),
    "STACK_GLOBAL": lambda m, _: m.name_from_stack(),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}


def _tables(stack: list[Any]) -> Tables:
    """Return what the machine has made."""
    (made,) = stack
    if not isinstance(made, dict) or not all(isinstance(table, dict) for table in made.values()):
        raise _RefusedError("no tables")
    found: Tables = {name: {} for name in made}
    for name, table in made.items():
        for key, value in table.items():
            if not isinstance(value, _Array) or value.content is None:
                raise _RefusedError("a value that is no array")
            found[name][key] = value.content
    return found
