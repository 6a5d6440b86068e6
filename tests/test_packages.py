"""What packages say beside pyproject.toml is what it says: conda's recipe, and the Dockerfile."""

import importlib.metadata
import io
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
# What conda-forge calls otherwise.
NAMES = {"lazy_loader": "lazy-loader", "matplotlib": "matplotlib-base"}


def of_conda(requirement: str) -> str:
    """A requirement of PyPI as conda writes it."""
    name, bound = re.fullmatch(r"([\w.-]+)(>=[\d.]+)", requirement).groups()  # pyright: ignore
    return f"{NAMES.get(name, name)} {bound}"


def test_the_recipe_has_the_version_and_the_words_of_the_project() -> None:
    assert RECIPE["context"]["version"] == PROJECT["version"]
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]
    assert RECIPE["package"]["name"] == PROJECT["name"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert [RECIPE["about"]["license_file"]] == PROJECT["license-files"]


def test_the_recipe_has_the_dependencies_of_the_project() -> None:
    python, *run = RECIPE["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert run == [of_conda(requirement) for requirement in PROJECT["dependencies"]]
    built_by = [of_conda(requirement) for requirement in PYPROJECT["build-system"]["requires"]]
    assert RECIPE["requirements"]["host"][2:] == built_by


def test_the_recipe_has_the_commands_of_the_project() -> None:
    commands = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == commands


def test_the_image_has_what_an_installation_needs() -> None:
    copied = [
        word
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for word in shlex.split(line)[:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)
    (package,) = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {"pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"]}
    assert {*copied} == needed | {Path(package).parts[0]}
    (base,) = re.findall(r"^FROM python:([\d.]+)-slim$", DOCKERFILE, re.MULTILINE)
    assert f">={base}" == PROJECT["requires-python"]
    (extras,) = re.findall(r"'\.\[(.+)\]'", DOCKERFILE)
    assert {*extras.split(",")} <= PROJECT["optional-dependencies"].keys()
    (command,) = re.findall(r'^ENTRYPOINT \["(.+)"\]$', DOCKERFILE, re.MULTILINE)
    assert command in PROJECT["scripts"]
    assert len(DOCKERFILE.splitlines()) <= 40


def test_the_package_is_a_program_under_its_own_name() -> None:
    """So `pipx run --spec . metadescent` and `python -m metadescent` find it."""
    assert [*PROJECT["scripts"]] == [PROJECT["name"]]
    words = [sys.executable, "-m", PROJECT["name"], "--version"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert importlib.metadata.version(PROJECT["name"]) in done.stdout


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert (ROOT / "src" / "metadescent" / "py.typed").read_bytes() == b""
    assert "Typing :: Typed" in PROJECT["classifiers"]


# Searches for baselines' rates that are kept, so that nobody does them again.
SEARCHES = {"searches", "references"}


def zipped(without: set[str]) -> int:
    """Return the bytes of a zip of the package's files, but for those in folders of some names."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "src" / "metadescent").rglob("*")):
            if path.is_file() and not {"__pycache__", *without} & {*path.parts}:
                archive.write(path, path.relative_to(ROOT / "src"))
    return wheel.getbuffer().nbytes


def test_a_wheel_is_about_a_megabyte_without_the_searches_that_are_kept() -> None:
    # A wheel has the licence, the README and a list of the files besides.
    rest = 27_000
    assert 500_000 < zipped(SEARCHES) < 1_060_000 - rest
    assert zipped(set()) < 1_200_000 - rest
