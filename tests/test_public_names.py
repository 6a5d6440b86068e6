"""`metadescent.NAME`: everything promised is there, documented, and costs nothing until used."""

import importlib
import inspect
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

import metadescent

SUBMODULES = {"data", "estimators", "optimizers", "problems", "zoo"}


@pytest.mark.parametrize("name", metadescent.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(metadescent, name)
    assert isinstance(thing, ModuleType) == (name in SUBMODULES)
    assert inspect.getdoc(thing)


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
