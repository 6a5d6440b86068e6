"""What is saved is what is loaded, to the bit; anything else is one sentence."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save as save_safetensors

from metadescent._errors import UserError
from metadescent.zoo.arrays import load_arrays, save_arrays
from metadescent.zoo.tensors import read_metadata

TREE: dict[str, Any] = {
    "w": jnp.asarray([[1.5, -0.0, jnp.inf], [jnp.nan, 1e-45, 3.0]]),
    "transposed": jnp.arange(6.0).reshape(2, 3).T,
    "count": jnp.asarray(7, jnp.int32),
    "nested": (jnp.asarray([True, False]), [jnp.asarray([0.1, 2.0], jnp.bfloat16)]),
    "bytes": jnp.arange(3, dtype=jnp.uint8),
    "empty": jnp.zeros((0, 4)),
    "nothing": None,
}
SMALL = {"a": jnp.asarray([1.0, 2.0], jnp.float32), "b": jnp.asarray(3, jnp.int32)}
METADATA = {"name": "θ", "list": [1, 2.5, None], "nested": {"a": True}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "x.safetensors"


@pytest.mark.parametrize(
    "tree",
    [TREE, jnp.ones(3), jnp.asarray(2.0), {}],
    ids=["every kind of leaf", "a vector", "a scalar", "no leaf"],
)
def test_what_is_loaded_is_what_was_saved_to_the_bit(
    path: Path, tree: Any, assert_same_bits: Callable
) -> None:
    save_arrays(path, tree, METADATA)
    loaded, metadata = load_arrays(path, jax.tree.map(jnp.zeros_like, tree))
    assert_same_bits(loaded, tree)
    assert metadata == METADATA == read_metadata(path)


def test_the_pattern_may_be_shapes_alone(path: Path, assert_same_bits: Callable) -> None:
    save_arrays(path, SMALL, {})
    assert_same_bits(load_arrays(path, jax.eval_shape(lambda: SMALL))[0], SMALL)


def test_saving_twice_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_arrays(tmp_path / name, TREE, METADATA)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


FROM_SOMETHING_ELSE = "it was saved from something else"


@pytest.mark.parametrize(
    ("like", "complaint"),
    [
        ({**SMALL, "c": jnp.zeros(1)}, "{path} lacks the leaf 'c'"),
        ({"a": SMALL["a"]}, "{path} has an unexpected leaf 'b'"),
        (
            {**SMALL, "a": jnp.zeros((2, 1))},
            "leaf 'a' of {path} is float32[2] where float32[2, 1] is expected",
        ),
        (
            {**SMALL, "b": jnp.zeros((), jnp.float32)},
            "leaf 'b' of {path} is int32[] where float32[] is expected",
        ),
        (
            {**SMALL, "b": jnp.zeros(1, jnp.int32)},
            "leaf 'b' of {path} is int32[] where int32[1] is expected",
        ),
    ],
    ids=["missing", "extra", "shape", "dtype", "scalar"],
)
def test_a_leaf_that_does_not_fit_is_named(
    path: Path, like: Any, complaint: str, sentence: Callable
) -> None:
    save_arrays(path, SMALL, {})
    expected = f"{complaint.format(path=path)}; {FROM_SOMETHING_ELSE}"
    assert sentence(load_arrays, path, like) == expected


@pytest.mark.parametrize("kept", ["float16", "float32"])
def test_only_what_does_not_fit_is_named(path: Path, kept: str, sentence: Callable) -> None:
    """Not the bits, which are the file's to say."""
    save_arrays(path, {"a": np.ones(2, kept)}, {})
    assert sentence(load_arrays, path, {"a": jax.ShapeDtypeStruct((3,), "float64")}) == (
        f"leaf 'a' of {path} is {kept}[2] where {kept}[3] is expected; {FROM_SOMETHING_ELSE}"
    )


def test_nested_leaves_are_named_by_their_path(path: Path, sentence: Callable) -> None:
    save_arrays(path, {"m": [jnp.ones(2)]}, {})
    assert sentence(load_arrays, path, {"m": [jnp.ones(3)]}).startswith("leaf 'm/0' of ")


def test_a_missing_file_is_named(path: Path, sentence: Callable) -> None:
    expected = f"cannot read {path}: No such file or directory; check the path"
    assert sentence(load_arrays, path, SMALL) == expected
    assert sentence(read_metadata, path) == expected


def test_a_folder_is_not_a_file(tmp_path: Path, sentence: Callable) -> None:
    assert sentence(load_arrays, tmp_path, SMALL) == (
        f"cannot read {tmp_path}: Is a directory; check the path"
    )


def test_wherever_it_is_cut_the_sentence_names_the_file(path: Path, sentence: Callable) -> None:
    save_arrays(path, SMALL, METADATA)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert str(path) in sentence(load_arrays, path, SMALL), length


def test_a_cut_in_the_header_is_told_from_a_cut_in_the_arrays(
    path: Path, sentence: Callable
) -> None:
    save_arrays(path, SMALL, {})
    whole = path.read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    path.write_bytes(whole[:20])
    assert sentence(load_arrays, path, SMALL) == (
        f"{path} is truncated or not a .safetensors: its header claims {header} bytes and 12 "
        "follow; copy it again or retrain the optimizer"
    )
    path.write_bytes(whole[:-1])
    damaged = sentence(load_arrays, path, SMALL)
    assert damaged.startswith(f"{path} is damaged (")
    assert damaged.endswith("); copy it again or retrain the optimizer")


def foreign_files() -> dict[str, bytes]:
    def with_header(header: Any) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text

    return {
        "empty": b"",
        "short": b"1234567",
        "no metadata": save_safetensors({"a": np.zeros(2, np.float32)}),
        "other metadata": save_safetensors({}, metadata={"format": "pt"}),
        "metadata that is no JSON": save_safetensors({}, metadata={"metadescent": "{"}),
        "metadata that is a list": save_safetensors({}, metadata={"metadescent": "[]"}),
        "a list": with_header([1]),
        "a word": with_header("word"),
        "metadata that is a number": with_header({"__metadata__": 3}),
        "zeros": bytes(64),
        "brackets": struct.pack("<Q", 20_000) + b"[" * 20_000,
        "not UTF-8": struct.pack("<Q", 4) + b'"\xff\xfe"',
    }


@pytest.mark.parametrize("name", foreign_files())
def test_a_foreign_file_is_told_apart(path: Path, name: str, sentence: Callable) -> None:
    path.parent.mkdir()
    path.write_bytes(foreign_files()[name])
    expected = (
        f"{path} is not a file that metadescent wrote; it must be a .safetensors of an optimizer"
    )
    assert sentence(load_arrays, path, SMALL) == expected
    assert sentence(read_metadata, path) == expected


def test_a_pickle_is_never_opened(path: Path, sentence: Callable) -> None:
    import pickle

    path.parent.mkdir()
    path.write_bytes(pickle.dumps({"a": np.zeros(100)}))
    assert "is truncated or not a .safetensors" in sentence(load_arrays, path, SMALL)


def test_no_damage_to_one_byte_escapes_as_anything_but_a_sentence(path: Path) -> None:
    save_arrays(path, SMALL, {"n": 1})
    whole = path.read_bytes()
    for place in range(len(whole)):
        for flip in (0x01, 0x10, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            try:
                loaded, metadata = load_arrays(path, SMALL)
            except UserError:
                continue
            assert jax.tree.structure(loaded) == jax.tree.structure(SMALL)
            assert isinstance(metadata, dict)
