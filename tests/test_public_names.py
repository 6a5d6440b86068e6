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

SUBMODULES = {"data", "estimators", "optimizers", "problems", "zoo"}
PUBLIC = [
    *metadescent.__all__,
    *(f"data.{name}" for name in metadescent.problems.data.__all__),
    *(f"zoo.{name}" for name in metadescent.zoo.__all__),
    "torch.LearnedOptimizer",
]
REFERENCE = (Path(__file__).parent.parent / "docs" / "reference.md").read_text()
# Of each module, the names that the reference takes from it: none is all.
LISTED = {
    module: {name.strip() for name in names.split(",")} - {""}
    for module, names in re.findall(
        r"^\.\. automodule:: (\S+)\n   :members:(.*)$", REFERENCE, re.MULTILINE
    )
}


def public(name: str) -> Any:
    module, _, attribute = f"metadescent.{name}".rpartition(".")
    if name.startswith("torch."):
        pytest.importorskip("torch")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", metadescent.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert isinstance(getattr(metadescent, name), ModuleType) == (name in SUBMODULES)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring_with_an_example(name: str) -> None:
    """The examples are run with the other doctests of the package."""
    text = inspect.getdoc(public(name))
    assert text
    assert text.splitlines()[0].endswith((".", ":"))
    assert doctest.DocTestParser().get_examples(text)


def test_there_is_a_reference_to_every_public_name() -> None:
    """In `docs/reference.md`, by the module that defines it."""
    for thing in map(public, PUBLIC):
        if not isinstance(thing, ModuleType):
            assert thing.__name__ in (LISTED[thing.__module__] or {thing.__name__})


@pytest.mark.parametrize("module", LISTED)
def test_the_reference_has_no_name_that_is_not_there(module: str) -> None:
    if module.startswith("metadescent.torch"):
        pytest.importorskip("torch")
    found = importlib.import_module(module)
    assert all(hasattr(found, name) for name in LISTED[module])


def defined_in(module: ModuleType) -> set[str]:
    """The public classes and functions of a module, wrapped or not, that are its own."""
    return {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and callable(thing) and thing.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", LISTED)
def test_every_name_of_the_reference_has_an_example_that_is_run(module: str) -> None:
    """One that doctest finds is run, with the others of the package."""
    if module.startswith("metadescent.torch"):
        pytest.importorskip("torch")
    found = importlib.import_module(module)
    names = LISTED[module] or defined_in(found)
    run = {test.name for test in doctest.DocTestFinder().find(found) if test.examples}
    assert names
    assert {name for name in names if f"{module}.{name}" not in run} == set()


@pytest.mark.parametrize("name", sorted({*PUBLIC} - SUBMODULES))
def test_every_argument_of_a_public_name_is_in_its_docstring(name: str) -> None:
    thing = public(name)
    try:
        found = inspect.signature(thing).parameters.values()
    except ValueError:  # of an exception
        return
    for argument in (p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)):
        assert re.search(rf"\b{argument}\b", inspect.getdoc(thing) or ""), argument


# What no paper has: files, names, data, devices, and how one's own function comes in.
WITHOUT_SOURCE = {"FromFunction", "Spread", "UserError", "load", "mesh_of", "save", *SUBMODULES}


@pytest.mark.parametrize("name", sorted(set(metadescent.__all__) - WITHOUT_SOURCE))
def test_a_public_name_or_its_module_says_where_it_comes_from(name: str) -> None:
    thing = public(name)
    text = f"{inspect.getdoc(thing)}\n{sys.modules[thing.__module__].__doc__}"
    assert "Source: " in text


@pytest.mark.parametrize("name", sorted(set(metadescent.__all__) - SUBMODULES))
def test_a_function_is_not_hidden_by_a_module_of_its_name(name: str) -> None:
    if find_spec(f"metadescent.{name}"):
        importlib.import_module(f"metadescent.{name}")
    assert callable(getattr(metadescent, name))


def test_every_public_name_is_listed() -> None:
    assert set(metadescent.__all__) <= set(dir(metadescent))


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
