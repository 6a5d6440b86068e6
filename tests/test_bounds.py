"""The lowest versions that are tested are the ones that `pyproject.toml` allows."""

import itertools
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned(file: str) -> dict[str, Version]:
    """The version of each package in a file of constraints, by its normal name."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / file).read_text(), re.MULTILINE)
    return {normal(name): Version(version) for name, version in lines}


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def bounds(requirements: list[str]) -> dict[str, Version]:
    """The lower bound of each package, by its normal name."""
    lowest = {}
    for text in requirements:
        requirement = Requirement(text)
        if requirement.name != PROJECT["name"]:
            (bound,) = requirement.specifier
            assert bound.operator == ">="
            lowest[normal(requirement.name)] = Version(bound.version)
    return lowest


def test_the_lowest_versions_are_the_bounds() -> None:
    needed = bounds(PROJECT["dependencies"])
    extras = bounds(list(itertools.chain(*PROJECT["optional-dependencies"].values())))
    lowest = pinned("constraints-lowest.txt")
    # jaxlib is of JAX's own version; why the other two are not the lowest, the file says.
    others = {"jaxlib": needed["jax"], "torch": lowest["torch"], "pyparsing": lowest["pyparsing"]}
    assert needed.items() <= lowest.items()
    assert lowest == {name: ({**extras, **needed} | others)[name] for name in lowest}


def test_the_versions_that_the_tests_run_on_are_allowed() -> None:
    versions = pinned("constraints.txt")
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert versions[normal(requirement.name)] in requirement.specifier


def test_what_stacks_are_installed_have_versions_beside_the_others() -> None:
    (stacks,) = re.findall(r"^STACKS := '.*' (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    versions = pinned("constraints-stacks.txt")
    assert {*stacks.split()} <= versions.keys()
    assert not versions.keys() & pinned("constraints.txt").keys()
