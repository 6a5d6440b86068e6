"""Every logger of the package: short, explained, and of no weight to whoever does not use it."""

import importlib.util
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent.runs.loggers.names import loggers, make_logger

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PACKAGES = {"csv": None, "mlflow": "mlflow", "tensorboard": "tensorboardX", "wandb": "wandb"}


def test_each_is_tried() -> None:
    assert set(loggers()) == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_it_is_at_most_forty_lines_and_says_what_it_is(name: str) -> None:
    kind = loggers()[name]
    assert len(Path(inspect.getfile(kind)).read_text(encoding="utf-8").splitlines()) <= 40
    assert (inspect.getdoc(kind) or "").endswith(".")


@pytest.mark.parametrize("name", [name for name, package in PACKAGES.items() if package])
def test_without_its_package_a_sentence_names_the_extra(
    name: str, sentence: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = PACKAGES[name]
    monkeypatch.setitem(sys.modules, str(package), None)
    assert sentence(make_logger, name) == (
        f"the logger {name} needs {package}, which cannot be imported (import of {package} halted; "
        f"None in sys.modules); try pip install 'metadescent[{name}]', or read metrics.jsonl"
    )
    assert any(needed.startswith(str(package)) for needed in EXTRAS[name])


@pytest.mark.parametrize(
    "name", [n for n, p in PACKAGES.items() if p is None or importlib.util.find_spec(p)]
)
def test_one_that_is_installed_is_made(name: str) -> None:
    if PACKAGES[name] in ("mlflow", "wandb"):
        pytest.skip("tests/stacks imports them")
    assert type(make_logger(name)) is loggers()[name]


def test_to_know_their_names_imports_none_of_their_packages() -> None:
    program = (
        "from metadescent.runs.loggers.names import loggers; loggers(); import sys; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"tensorboardX", "wandb", "mlflow", "jax"} & set(done.stdout.split())
