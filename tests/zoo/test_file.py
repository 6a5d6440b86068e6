"""One optimizer, one file: exact, safe to open, and plain about what does not fit."""

import json
import struct
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metadescent.optimizers.base import Coordinatewise
from metadescent.optimizers.lstm import LSTM
from metadescent.zoo.file import FORMAT, load, read_card, save

SPEC = "lstm(layers=(3, 2), p=None, scale=0.5)"
M = LSTM((3, 2), p=None, scale=0.5, key=jax.random.key(3))
CARD = {"trained_on": "quadratic", "budget": {"epochs": 3}, "seed": 0, "validation": [0.5, None]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


def rewrite(path: Path, **changes: Any) -> None:
    """Change the metadata of a file, leaving its arrays as they are."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    card = json.loads(header["__metadata__"]["metadescent"]) | changes
    card = {name: value for name, value in card.items() if value is not None}
    header["__metadata__"]["metadescent"] = json.dumps(card)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


@pytest.mark.parametrize("as_text", [False, True])
def test_what_is_loaded_is_what_was_saved_to_the_bit(
    path: Path, as_text: bool, assert_same_bits: Callable
) -> None:
    where = str(path) if as_text else path
    save(where, M, optimizer=SPEC)
    assert_same_bits(load(where), M)


def test_it_moves_theta_as_before(path: Path, assert_same_bits: Callable) -> None:
    save(path, M, optimizer=SPEC)
    gradient = {"w": jnp.asarray([1.0, -1e-3])}
    loaded = load(path)
    assert_same_bits(
        loaded.update(gradient, loaded.init(gradient)), M.update(gradient, M.init(gradient))
    )


def test_the_card_says_what_it_was_told_and_where_it_comes_from(path: Path) -> None:
    save(path, M, optimizer=SPEC, **CARD)
    card = read_card(path)
    assert {name: card[name] for name in CARD} == CARD
    assert (card["format"], card["optimizer"]) == (FORMAT, SPEC)
    assert card["version"] == version("metadescent")


@pytest.mark.parametrize("name", ["format", "version"])
def test_a_card_cannot_speak_for_the_package(path: Path, name: str) -> None:
    try:
        save(path, M, optimizer=SPEC, **{name: "mine"})
    except TypeError:
        return
    assert read_card(path)[name] != "mine"


class Line(Coordinatewise):
    """g = a ∇, of a class that the package does not know."""

    a: jax.Array

    def init_coordinate(self) -> tuple[()]:
        return ()

    def update_coordinates(self, gradient: jax.Array, state: tuple[()]) -> Any:
        return self.a * gradient, state


def test_a_class_from_elsewhere_is_handed_in(path: Path, assert_same_bits: Callable) -> None:
    save(path, Line(jnp.asarray(-0.3)), optimizer="somewhere:Line")
    loaded = load(path, make=lambda spec, key: Line(jnp.zeros(())))
    assert_same_bits(loaded, Line(jnp.asarray(-0.3)))


@pytest.mark.parametrize("kind", ["file", "module"])
def test_loading_runs_no_code_that_the_file_names(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    code = path.with_name("metadescent_hostile.py")
    code.write_text("import sys\nsys.metadescent_hostile = True\n")
    monkeypatch.syspath_prepend(str(path.parent))
    spec = f"{code}:Rule" if kind == "file" else "metadescent_hostile:Rule"
    save(path, M, optimizer=spec)
    found = sentence(load, path)
    assert not hasattr(sys, "metadescent_hostile")
    assert found == (
        f"{path} holds an optimizer of a class outside the package, {spec}; hand the class in: "
        "metadescent.zoo.file.load(path, make=lambda spec, key: …)"
    )


def test_an_unknown_optimizer_is_named(path: Path, sentence: Callable) -> None:
    save(path, M, optimizer="lstn(layers=(3, 2))")
    assert "there is no optimizer named 'lstn'; did you mean 'lstm'?" in sentence(load, path)


@pytest.mark.parametrize(
    "spec", ["lstm(layers=(0,))", "lstm(layers=(-1,))", "lstm(layers=3)", "lstm(layers=('a',))"]
)
def test_an_optimizer_that_cannot_be_made_is_a_sentence(
    path: Path, spec: str, sentence: Callable
) -> None:
    save(path, M, optimizer=spec)
    found = sentence(load, path)
    assert "lstm" in found
    assert "\n" not in found


def test_a_huge_optimizer_is_refused_before_it_takes_memory(path: Path, sentence: Callable) -> None:
    save(path, M, optimizer="lstm(layers=(10000000,))")
    assert "leaf 'cells/0/weight_ih'" in sentence(load, path)


def test_a_leaf_that_does_not_fit_is_named(path: Path, sentence: Callable) -> None:
    save(path, M, optimizer="lstm(layers=(3, 4), p=None)")
    assert sentence(load, path) == (
        f"leaf 'cells/1/weight_ih' of {path} is float32[8, 3] where float32[16, 3] is expected; "
        "it was saved from something else"
    )


def test_a_newer_format_asks_for_a_newer_package(path: Path, sentence: Callable) -> None:
    save(path, M, optimizer=SPEC)
    rewrite(path, format=FORMAT + 1)
    expected = (
        f"{path} has format {FORMAT + 1} and this version reads format {FORMAT}; "
        "try a newer metadescent"
    )
    assert sentence(read_card, path) == expected
    assert sentence(load, path) == expected


def test_a_newer_format_may_say_anything_else(path: Path, sentence: Callable) -> None:
    save(path, M, optimizer=SPEC)
    rewrite(path, format=FORMAT + 1, optimizer={"name": "lstm"})
    assert "try a newer metadescent" in sentence(load, path)


@pytest.mark.parametrize("optimizer", [None, 3, ["lstm"]])
def test_a_file_of_something_else_holds_no_optimizer(
    path: Path, optimizer: Any, sentence: Callable
) -> None:
    save(path, M, optimizer=SPEC)
    rewrite(path, optimizer=optimizer)
    assert sentence(load, path) == (
        f"{path} holds no optimizer; it must be an optimizer.safetensors"
    )


def test_an_old_file_is_kept_when_saving_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, assert_same_bits: Callable, sentence: Callable
) -> None:
    import errno
    import os

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save(path, M, optimizer=SPEC)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        other = jax.tree.map(jnp.zeros_like, M)
        assert sentence(save, path, other, optimizer=SPEC).startswith("the disk is full: ")
    assert_same_bits(load(path), M)
