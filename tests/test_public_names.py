"""Everything promised is there, documented with an example, and costs nothing until used."""

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import metadescent

ROOMS = (
    *("bench", "descent", "figures", "meta", "optimizers", "problems", "problems.data"),
    *("runs", "zoo"),
)
SUBMODULES = {room for room in ROOMS if "." not in room} & set(metadescent.__all__)


def shown(room: str) -> list[str]:
    """The names that a room shows, modules left out."""
    module = importlib.import_module(f"metadescent.{room}")
    names = (name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType))
    return [f"{room}.{name}" for name in names]


PUBLIC = [
    *(name for name in metadescent.__all__ if name not in SUBMODULES),
    *(name for room in ROOMS for name in shown(room)),
    *(f"registry.make_{kind}" for kind in ("estimator", "optimizer", "problem")),
    "torch.LearnedOptimizer",
]
REFERENCE = (Path(__file__).parent.parent / "docs" / "reference.md").read_text()
LISTED = re.findall(r"^- `metadescent\.(\S+)`", REFERENCE, re.MULTILINE)


def public(name: str) -> Any:
    module, _, attribute = f"metadescent.{name}".rpartition(".")
    if name.startswith("torch."):
        pytest.importorskip("torch")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring_with_an_example(name: str) -> None:
    """The examples are run with the other doctests of the package; mere values need none."""
    text = inspect.getdoc(public(name))
    assert text
    if is_value(public(name)):
        return
    assert text.splitlines()[0].endswith((".", ":"))
    assert doctest.DocTestParser().get_examples(text)


@pytest.mark.parametrize("name", PUBLIC)
def test_there_is_a_reference_to_every_public_name(name: str) -> None:
    """By its room, or by the root where it is an interface."""
    if name.startswith("torch."):
        pytest.importorskip("torch")
    assert any(public(listed) is public(name) for listed in LISTED if available(listed))


def is_value(thing: Any) -> bool:
    return isinstance(thing, type) and (issubclass(thing, tuple) or thing.__name__ == "Plan")


def available(name: str) -> bool:
    return not name.startswith("torch.") or find_spec("torch") is not None


@pytest.mark.parametrize("name", LISTED)
def test_the_reference_has_no_name_that_is_not_there(name: str) -> None:
    assert public(name) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_of_a_public_name_is_in_its_docstring(name: str) -> None:
    """Those of a table of choices have words of their own; a `Batch` is made by its `sample`."""
    thing = public(name)
    if is_value(thing) or name.rpartition(".")[2] in {"Batch", "Recipe", "Schedule"}:
        return
    try:
        found = inspect.signature(thing).parameters.values()
    except ValueError:  # of an exception
        return
    for argument in (p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)):
        assert re.search(rf"\b{argument}\b", inspect.getdoc(thing) or ""), argument


# What no paper has: tasks, files, names, data, devices, figures, how one's own function comes in.
WITHOUT_SOURCE = {
    *shown("bench"),
    *shown("figures"),
    *shown("problems.data"),
    *shown("runs"),
    *shown("zoo"),
    "FromFunction",
    "UserError",
    "load",
    "meta.Spread",
    "meta.mesh_of",
    "problems.Batch",
    "problems.FromFunction",
    "registry.make_estimator",
    "registry.make_optimizer",
    "registry.make_problem",
    "save",
    "torch.LearnedOptimizer",
}


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - WITHOUT_SOURCE))
def test_a_public_name_or_its_module_says_where_it_comes_from(name: str) -> None:
    thing = public(name)
    text = f"{inspect.getdoc(thing)}\n{sys.modules[thing.__module__].__doc__}"
    assert "Source: " in text


@pytest.mark.parametrize("room", ROOMS)
def test_a_public_name_is_not_hidden_by_a_module_of_its_name(room: str) -> None:
    """Importing a module sets its name in its package."""
    for name in shown(room):
        assert find_spec(f"metadescent.{name}") is None


@pytest.mark.parametrize("room", [*sorted(SUBMODULES), "figures", "runs"])
def test_every_public_name_is_listed(room: str) -> None:
    for module in (metadescent, importlib.import_module(f"metadescent.{room}")):
        assert set(module.__all__) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="gradient_ascent"):
        metadescent.gradient_ascent  # noqa: B018


def imported_by(program: str) -> set[str]:
    """The packages that a program leaves imported, run in a process of its own."""
    program += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = {"jax", "equinox", "optax", "numpy", "scipy", "matplotlib", "tyro", "rich"}
    assert not heavy & imported_by("import metadescent")


def test_a_name_brings_what_it_needs_and_no_more() -> None:
    found = imported_by("import metadescent; metadescent.LSTM")
    assert "jax" in found
    assert not {"matplotlib", "tyro", "rich", "pooch"} & found
