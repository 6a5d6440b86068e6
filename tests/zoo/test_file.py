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
import optax
import pytest

from metadescent.optimizers.base import Coordinatewise
from metadescent.optimizers.chained import chain
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.partitioned import Partitioned
from metadescent.registry import make_optimizer
from metadescent.zoo.cards import FORMAT, read_card
from metadescent.zoo.file import load, save

KEY = jax.random.key(0)
SPEC = "lstm(layers=(3, 2), p=None, scale=0.5)"
M = LSTM((3, 2), p=None, scale=0.5, key=jax.random.key(3))
CARD = {"trained_on": "quadratic", "budget": {"epochs": 3}, "seed": 0, "validation": [0.5, None]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


def rewrite(path: Path, **changes: Any) -> None:
    """Change the metadata of a file, leaving its arrays as they are; there is no checksum then."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    card = json.loads(header["__metadata__"]["metadescent"]) | {"sha256": None} | changes
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


def test_an_optimizer_of_the_package_tells_its_specification(
    path: Path, assert_same_bits: Callable
) -> None:
    save(path, M)
    assert read_card(path)["optimizer"] == SPEC
    assert_same_bits(load(path), M)


@pytest.mark.parametrize(
    "spec",
    [
        "lstm(layers=(3, 2), p=None)",
        "lstm(layers=(3, 3), p=None, scale=0.5)",
        "lstm(layers=(3, 2), scale=0.5)",
        "rnnprop(layers=(3, 2), scale=0.5)",
        "lstm(layers=(3, 2), p=None, scale=0.5) >> pace",
        "* -> lstm(layers=(3, 2), p=None, scale=0.5)",
        "optax.sgd(learning_rate=0.1)",
    ],
)
def test_a_specification_of_another_optimizer_is_refused(
    path: Path, spec: str, sentence: Callable
) -> None:
    """Be it in a static field, in a shape, in its kind or in how its rules are put together."""
    assert sentence(save, path, M, optimizer=spec) == (
        f"optimizer is {spec!r} and m is {SPEC!r}; give what makes m, or leave it out"
    )
    assert not path.exists()


def test_a_specification_may_be_written_in_another_way(path: Path) -> None:
    spec = "lstm( scale=0.5, layers=[3, 2], p=None )"
    save(path, M, optimizer=spec)
    assert read_card(path)["optimizer"] == spec


def test_optax_is_kept_by_its_call(path: Path, sentence: Callable) -> None:
    spec = "w/* -> lstm(layers=(2,)) + * -> optax.sgd(learning_rate=0.5)"
    save(path, make_optimizer(spec, KEY))
    assert read_card(path)["optimizer"] == spec
    other = spec.replace("0.5", "0.25")
    assert sentence(save, path, make_optimizer(spec, KEY), optimizer=other) == (
        f"optimizer is {other!r} and m is {spec!r}; give what makes m, or leave it out"
    )


def test_where_a_transformation_does_not_tell_its_call_it_is_given(
    path: Path, tmp_path: Path, sentence: Callable
) -> None:
    m = Partitioned([("w/*", LSTM((2,), key=KEY)), ("*", optax.sgd(0.5))])
    spec = "w/* -> lstm(layers=(2,)) + * -> optax.sgd(learning_rate=0.5)"
    assert sentence(save, path, m) == (
        "what makes this ByHand is not known; name it, such as optimizer='* -> optax.adam(…)'"
    )
    save(path, m, optimizer=spec)
    assert load(path).takes == m.takes
    assert sentence(save, path, m, optimizer=spec.replace("(2,)", "(3,)")).endswith(
        " and m is another Partitioned; give what makes m, or leave it out"
    )
    for other in (
        "sgd(learning_rate=9.0)",
        "sgd(learning_rate=0.5, momentum=0.9)",
        "adam(learning_rate=0.5)",
    ):
        wrong = spec.replace("sgd(learning_rate=0.5)", other)
        assert sentence(save, tmp_path / "other", m, optimizer=wrong).endswith("or leave it out")
    # One whose rate changes late is another too.
    late = Partitioned([("*", optax.sgd(optax.piecewise_constant_schedule(0.5, {5_000: 0.1})))])
    assert sentence(save, path, late, optimizer="* -> optax.sgd(learning_rate=0.5)")


@pytest.mark.parametrize(
    ("m", "expected"),
    [
        (
            chain([chain([M, M]), M]),
            "what makes this Chained is not known; name it, such as optimizer='my_rule.py:Chained'",
        ),
        (
            chain([M]),
            f"no specification makes this Chained, and {SPEC!r} makes another; save its rules "
            "apart",
        ),
        (
            Partitioned([(lambda path, shape: True, M)]),
            "a group takes its leaves by a function, which has no specification; try a pattern, "
            "such as 'conv/*'",
        ),
        (
            Partitioned([("*", M)], batched=True),
            f"no specification makes this Partitioned, and '* -> {SPEC}' makes another; save its "
            "rules apart",
        ),
    ],
    ids=["a chain in a chain", "a chain of one", "a function", "of a batch"],
)
def test_what_no_specification_makes_is_refused(
    path: Path, m: Any, expected: str, sentence: Callable
) -> None:
    assert sentence(save, path, m) == expected


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


def test_a_class_from_elsewhere_is_named_by_whoever_saves_it(
    path: Path, sentence: Callable
) -> None:
    assert sentence(save, path, Line(jnp.zeros(()))) == (
        "what makes this Line is not known; name it, such as optimizer='my_rule.py:Line'"
    )
    assert sentence(save, path, Line(jnp.zeros(())), optimizer="lstm") == (
        "optimizer is 'lstm' and m is another Line; give what makes m, or leave it out"
    )


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
        "metadescent.load(path, make=lambda spec, key: …)"
    )


def test_an_unknown_optimizer_is_named(path: Path, sentence: Callable) -> None:
    save(path, M)
    rewrite(path, optimizer="lstn(layers=(3, 2))")
    assert "there is no optimizer named 'lstn'; did you mean 'lstm'?" in sentence(load, path)


@pytest.mark.parametrize(
    "spec", ["lstm(layers=(0,))", "lstm(layers=(-1,))", "lstm(layers=3)", "lstm(layers=('a',))"]
)
def test_an_optimizer_that_cannot_be_made_is_a_sentence(
    path: Path, spec: str, sentence: Callable
) -> None:
    save(path, M)
    rewrite(path, optimizer=spec)
    found = sentence(load, path)
    assert "lstm" in found
    assert "\n" not in found


def test_a_huge_optimizer_is_refused_before_it_takes_memory(path: Path, sentence: Callable) -> None:
    save(path, M)
    rewrite(path, optimizer="lstm(layers=(10000000,))")
    assert "leaf 'cells/0/weight_ih'" in sentence(load, path)


def test_a_leaf_that_does_not_fit_is_named(path: Path, sentence: Callable) -> None:
    save(path, M)
    rewrite(path, optimizer="lstm(layers=(3, 4), p=None)")
    phi = M.output.weight.dtype
    assert sentence(load, path) == (
        f"leaf 'cells/1/weight_ih' of {path} is {phi}[8, 3] where {phi}[16, 3] is expected; "
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
