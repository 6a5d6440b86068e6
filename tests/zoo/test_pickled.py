"""Pickles of arrays are read; every other pickle is refused, and nothing in it is run."""

import ast
import collections
import copyreg
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tracemalloc
import types
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent._errors import UserError
from metadescent.zoo import pickled
from metadescent.zoo.pickled import read_tables

TABLES = {
    "lstm_1": {"w_gates": np.arange(12, dtype=np.float32).reshape(3, 4), "b_gates": np.ones(4)},
    "linear": {"w": np.asarray([[0.5]]), "b": np.asarray(2.0, np.float32)},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.l2l"


def as_default(tables: dict[str, Any]) -> dict[str, Any]:
    return collections.defaultdict(dict, tables)


def by_dill(value: Any) -> bytes:
    """What dill writes for it: types and the functions of modules by functions of dill's own."""
    dill = types.ModuleType("dill._dill")
    for name in ("_load_type", "_import_module", "_get_attr"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = dill.__name__, name
        setattr(dill, name, function)
    module = types.SimpleNamespace()

    class Pickler(pickle._Pickler):  # the one in Python asks for types too
        def save(self, thing: Any, save_persistent_id: bool = True) -> None:
            if thing is dict:
                self.save_reduce(dill._load_type, ("dict",))
            elif thing is module:
                self.save_reduce(dill._import_module, ("numpy.core._multiarray_umath",))
            elif getattr(thing, "__name__", "") == "_reconstruct":
                self.save_reduce(dill._get_attr, (module, "_reconstruct"))
            else:
                super().save(thing, save_persistent_id)

    out = BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "dill", types.ModuleType("dill"))
        patch.setitem(sys.modules, dill.__name__, dill)
        Pickler(out, protocol=3).dump(value)
    return out.getvalue()


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def by_python_2(tables: dict[str, dict[str, np.ndarray]]) -> bytes:
    """Protocol 2 as Python 2 wrote it: texts and bytes are strings there, `U` and `T`."""

    def string(value: bytes) -> bytes:
        return b"T" + struct.pack("<I", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def array(a: np.ndarray) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85"
        dtype = b"cnumpy\ndtype\n(" + string(a.dtype.str[1:].encode()) + b"K\x00K\x01tR"
        dtype += b"(K\x03" + string(b"<") + b"NNN" + 2 * number(-1) + b"K\x00tb"
        shape = b"(" + b"".join(map(number, a.shape)) + b"t"
        return (
            made
            + string(b"b")
            + b"tR(K\x01"
            + shape
            + dtype
            + b"\x89"
            + string(a.tobytes())
            + b"tb"
        )

    def table(items: dict[str, Any], of: Callable) -> bytes:
        return (
            b"}("
            + b"".join(b"U" + bytes([len(k)]) + k.encode() + of(v) for k, v in items.items())
            + b"u"
        )

    return b"\x80\x02" + table(tables, lambda inner: table(inner, array)) + b"."


def assert_read(path: Path, expected: dict[str, dict[str, np.ndarray]]) -> None:
    found = read_tables(path)
    assert {name: set(table) for name, table in found.items()} == {
        name: set(table) for name, table in expected.items()
    }
    for name, table in expected.items():
        for key, array in table.items():
            assert found[name][key].dtype == array.dtype
            np.testing.assert_array_equal(found[name][key], array)


@pytest.mark.parametrize(
    "write",
    [
        lambda tables: pickle.dumps(tables, protocol=3),
        lambda tables: pickle.dumps(as_default(tables), protocol=4),
        lambda tables: by_dill(as_default(tables)),
        by_python_2,
    ],
    ids=["protocol 3", "protocol 4", "dill", "Python 2"],
)
def test_arrays_are_read_to_the_bit_whoever_wrote_them(write: Callable, path: Path) -> None:
    path.write_bytes(write(TABLES))
    assert_read(path, TABLES)


def test_order_and_sharing_of_arrays_are_kept(path: Path) -> None:
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    big = columns.astype(">f4")
    tables = {"a": {"x": columns, "y": columns}, "b": {"z": big, "none": np.zeros((0, 3))}}
    path.write_bytes(pickle.dumps(tables, protocol=4))
    assert_read(path, tables)


class Calls:
    """Pickles as a call of something."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


RUN = "import sys; sys.metadescent_hostile = True"
CALL = b"(" + text(RUN) + b"tR"
DILL_IMPORT = b"cdill._dill\n_import_module\n("
# A pickle that would do harm, or is no table of arrays, and what the sentence says of it.
REFUSED = {
    "exec": (pickle.dumps(Calls(exec, RUN)), "the name 'builtins.exec'"),
    "exec, protocol 2": (b"\x80\x02c__builtin__\nexec\n" + CALL + b".", "'__builtin__.exec'"),
    "a command": (b"\x80\x03cos\nsystem\n(" + text("true") + b"tR.", "the name 'os.system'"),
    "deeper in a module": (
        b"\x80\x04" + text("numpy") + text("ndarray.__init__.__globals__") + b"\x93.",
        "the name 'numpy.ndarray.__init__.__globals__'",
    ),
    "dill's import": (
        b"\x80\x03" + DILL_IMPORT + text("metadescent_hostile") + b"tR.",
        "a call of _import_module that makes no array",
    ),
    "dill's attribute": (
        b"\x80\x03cdill._dill\n_get_attr\n(" + DILL_IMPORT + text("numpy.core.multiarray") + b"tR"
        + text("frombuffer") + b"tR.",
        "a call of _get_attr that makes no array",
    ),
    "dill's types": (
        b"\x80\x03cdill._dill\n_load_type\n(" + text("CodeType") + b"tR.",
        "a call of _load_type that makes no array",
    ),
    "dill's functions": (b"\x80\x03cdill._dill\n_create_function\n(tR.", "_create_function'"),
    "a factory that is no dict": (
        b"\x80\x03ccollections\ndefaultdict\n(cnumpy\ndtype\ntR.",
        "a call of defaultdict that makes no array",
    ),
    "a name that is called though it is text": (
        b"\x80\x03" + text("dict") + b")R.",
        "instructions that do not fit together",
    ),
    "an array of objects": (
        pickle.dumps({"a": {"x": np.asarray([Path("x")], object)}}, protocol=4),
        "a call of dtype that makes no array",
    ),
    "an array of whole numbers": (
        pickle.dumps({"a": {"x": np.arange(3)}}, protocol=4),
        "a call of dtype that makes no array",
    ),
    "a class's instance": (b"\x80\x02(ios\nsystem\n.", "the instruction INST"),
    "an object": (b"\x80\x02cnumpy\nndarray\n)\x81.", "the instruction NEWOBJ"),
    "an object by names": (b"\x80\x04cnumpy\nndarray\n)}\x92.", "the instruction NEWOBJ_EX"),
    "an object on the stack": (b"\x80\x02(cnumpy\nndarray\no.", "the instruction OBJ"),
    "an extension": (b"\x80\x02\x82\x01.", "the instruction EXT1"),
    "a far extension": (b"\x80\x02\x84\x01\x00\x00\x00.", "the instruction EXT4"),
    "a persistent id": (b"Pevil\n.", "the instruction PERSID"),
    "a persistent id on the stack": (b"\x80\x02}Q.", "the instruction BINPERSID"),
    "a buffer beside it": (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
    "a state for a table": (b"\x80\x03}}b.", "a state for what is no array"),
    "a state for what it names": (
        b"\x80\x03cnumpy\ndtype\n}" + text("name") + text("dict") + b"sb.",
        "a state for what is no array",
    ),
    "a state that is none": (b"\x80\x03cnumpy\ndtype\nNb.", "a state for what is no array"),
    "a call of a type": (b"\x80\x03cbuiltins\ndict\n)R.", "a call of dict that makes no array"),
    "names that are no text": (b"\x80\x04K\x01K\x02\x93.", "instructions that do not fit together"),
    "a table that is called": (b"\x80\x03})R.", "instructions that do not fit together"),
    "tuples in tuples": (b"\x80\x03)" + 10**5 * b"\x85" + b".", "no tables of arrays"),
    "an array that never came": (
        b"\x80\x03}" + text("a") + b"}" + text("x") + b"cnumpy.core.multiarray\n_reconstruct\n"
        + b"(cnumpy\nndarray\nK\x00tRss.",
        "a call of _reconstruct that makes no array",
    ),
    "an array with nothing in it": (
        b"\x80\x03}" + text("a") + b"}" + text("x") + b"cnumpy.core.multiarray\n_reconstruct\n"
        + b"(cnumpy\nndarray\nK\x00NtRss.",
        "no tables of arrays",
    ),
    "a list": (pickle.dumps([1.0], protocol=4), "the instruction EMPTY_LIST"),
    "a number": (pickle.dumps(1.5, protocol=4), "the instruction BINFLOAT"),
    "text": (pickle.dumps("x", protocol=4), "no tables of arrays"),
    "arrays without tables": (pickle.dumps({"x": np.ones(2)}, protocol=4), "no tables of arrays"),
    "text in a table": (pickle.dumps({"a": {"x": "y"}}, protocol=4), "no tables of arrays"),
    "numbers for names": (pickle.dumps({1: {}}, protocol=4), "a table of no names"),
    "a second pickle": (2 * pickle.dumps({}, protocol=4), "more than one value"),
    "two values": (b"\x80\x03}}.", "more than one value"),
    "nothing on the stack": (b"\x80\x03R.", "instructions that do not fit together"),
    "nothing remembered": (b"\x80\x03h\x07.", "instructions that do not fit together"),
    "no mark": (b"\x80\x03t.", "instructions that do not fit together"),
    "no file": (b"", "instructions that do not fit together"),
    "another kind of file": (b"\x89HDF\r\n\x1a\n", "instructions that do not fit together"),
    "the end is missing": (
        pickle.dumps(TABLES, protocol=4)[:-9],
        "instructions that do not fit together",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_and_not_run(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    data, reason = REFUSED[name]
    path.write_bytes(data)
    path.with_name("metadescent_hostile.py").write_text(RUN)
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(os, "system", lambda *_: setattr(sys, "metadescent_hostile", True))
    found = sentence(read_tables, path)
    assert not hasattr(sys, "metadescent_hostile")
    assert found.startswith(f"{path} has ")
    assert reason in found
    assert found.endswith(
        " and must be a pickle of nothing but arrays of floats, by names; nothing in it was run, "
        "try another file"
    )


def test_the_registry_of_extensions_is_not_asked(path: Path, sentence: Callable) -> None:
    copyreg.add_extension("os", "system", 1)
    try:
        path.write_bytes(b"\x80\x02\x82\x01(" + text("true") + b"tR.")
        assert "the instruction EXT1" in sentence(read_tables, path)
    finally:
        copyreg.remove_extension("os", "system", 1)


def test_a_claim_takes_no_memory(path: Path, sentence: Callable) -> None:
    """Memos of high numbers, and texts and frames that are said to be longer than the file."""
    most = struct.pack("<I", 2**32 - 1)
    tracemalloc.start()
    path.write_bytes(b"\x80\x03}r" + most + b".")
    assert read_tables(path) == {}
    path.write_bytes(b"\x80\x04\x95" + struct.pack("<Q", 2**63 - 1) + b"}.")
    assert read_tables(path) == {}
    for claim in (b"X" + most, b"B" + most, b"T" + struct.pack("<I", 2**31 - 1)):
        path.write_bytes(b"\x80\x04" + claim + b"}.")
        assert "instructions that do not fit together" in sentence(read_tables, path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("stored", [b"B", b"T"], ids=["bytes", "text of Python 2"])
def test_numbers_that_stand_in_many_places_do_not_fill_the_memory(
    stored: bytes, path: Path, sentence: Callable
) -> None:
    length, count = 2**16, 100
    numbers = stored + struct.pack("<I", length) + bytes(length) + b"q\x00"
    dtype = b"cnumpy\ndtype\n(" + text("f4") + b"K\x00K\x01tR(K\x03" + text("<") + b"NNNNNK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00NtR"
    shape = b"(J" + struct.pack("<i", length // 4) + b"t"
    head, again = made + b"(K\x01" + shape + dtype + b"\x89", b"h\x00"
    arrays = [text(f"x{n}") + head + (again if n else numbers) + b"tb" for n in range(count)]
    path.write_bytes(b"\x80\x03}" + text("a") + b"}(" + b"".join(arrays) + b"us.")
    tracemalloc.start()
    said = sentence(read_tables, path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "more numbers than it is long" in said
    assert peak < 20 * path.stat().st_size < length * count


def test_the_hostile_ones_would_do_harm_to_others(path: Path) -> None:
    """What is refused above is no straw man."""
    program = (
        "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')); print(sys.metadescent_hostile)"
    )
    path.write_bytes(REFUSED["exec"][0])
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert done.stdout == "True\n"


def changed(shape: tuple[int, ...], numbers: bytes) -> bytes:
    """A pickle of one array whose shape and bytes are these."""
    array = np.zeros(2, np.float32)
    data = pickle.dumps({"a": {"x": array}}, protocol=3)
    (old,) = (b"K\x02\x85",)
    assert data.count(old) == 1
    packed = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in shape) + b"t"
    data = data.replace(old, packed)
    return data.replace(b"C\x08" + array.tobytes(), b"C" + bytes([len(numbers)]) + numbers)


def test_a_changed_array_is_read(path: Path) -> None:
    path.write_bytes(changed((1, 2), np.asarray([3.0, 4.0], np.float32).tobytes()))
    assert read_tables(path)["a"]["x"].tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(
    ("shape", "numbers"),
    [((3,), bytes(8)), ((2,), bytes(7)), ((-1,), bytes(8)), ((2**31 - 1,), b"")],
)
def test_numbers_must_fill_the_shape(
    shape: tuple[int, ...], numbers: bytes, path: Path, sentence: Callable
) -> None:
    path.write_bytes(changed(shape, numbers))
    assert "nothing in it was run" in sentence(read_tables, path)


WRITTEN = [pickle.dumps(as_default(TABLES), protocol=protocol) for protocol in (3, 4)]


@given(
    st.sampled_from(WRITTEN), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4)
)
def test_a_damaged_file_is_a_sentence_or_arrays(
    tmp_path_factory: Any, data: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.l2l"
    path.write_bytes(damaged)
    try:
        found = read_tables(path)
    except UserError:
        return
    assert all(isinstance(x, np.ndarray) for table in found.values() for x in table.values())


def test_of_pickle_it_has_the_unpickler_alone_and_of_that_what_it_lists() -> None:
    tree = ast.parse(Path(pickled.__file__).read_text(encoding="utf-8"))
    taken = [
        (type(node).__name__, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if "pickle" in (getattr(node, "module", None), alias.name)
    ]
    assert taken == [("ImportFrom", "_Unpickler")]
    inherited = {
        code
        for code, do in pickled._Reader.dispatch.items()
        if do is pickle._Unpickler.dispatch.get(code)
    }
    names = {op.name for op in pickletools.opcodes if ord(op.code) in inherited}
    assert names == pickled._KEPT
    assert not names & {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ"}
    assert pickled._Reader.find_class is not pickle._Unpickler.find_class


def test_a_file_that_is_not_there_is_said_to_be(path: Path, sentence: Callable) -> None:
    assert sentence(read_tables, path) == (
        f"cannot read {path}: No such file or directory; check the path"
    )
