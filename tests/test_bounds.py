"""The lowest versions that are tested are the ones that `pyproject.toml` allows."""

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


def test_the_lowest_versions_are_the_bounds() -> None:
    bounds = {}
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        bounds[normal(requirement.name)] = Version(bound.version)
    # jaxlib is of JAX's own version.
    assert pinned("constraints-lowest.txt") == bounds | {"jaxlib": bounds["jax"]}


def test_the_versions_that_the_tests_run_on_are_allowed() -> None:
    versions = pinned("constraints.txt")
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert versions[normal(requirement.name)] in requirement.specifier
