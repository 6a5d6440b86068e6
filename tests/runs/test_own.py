"""A class of one's own is loaded where its run, or its reader, says so; else nothing is run."""

import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from metadescent import zoo
from metadescent._files import write_json
from metadescent.registry import make_optimizer
from metadescent.runs.own import load
from metadescent.runs.plan import initial_optimizer
from metadescent.runs.recipe import Recipe

CODE = """
import sys
import jax.numpy as jnp
from metadescent import Coordinatewise

sys.metadescent_ran = True

class Rule(Coordinatewise):
    rate: jnp.ndarray

    def __init__(self, rate=0.5, *, key):
        self.rate = jnp.asarray(rate)

    def init_coordinate(self):
        return ()

    def update_coordinates(self, gradient, state):
        return -self.rate * gradient, state

def rule(rate=0.5, *, key):
    return Rule(rate, key=key)
"""


@pytest.fixture(
    params=["my_rule.py:Rule", "my_rule.py:rule", "lstm(layers=(2,)) >> my_rule.py:Rule"]
)
def spec(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def run(tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder as `train` leaves it, and this process elsewhere."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "my_rule.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    with chdir("home"):
        zoo.save("r/optimizer.safetensors".replace("r/", ""), make(spec), optimizer=spec)
    folder = tmp_path / "home" / "r"
    folder.mkdir()
    Path("home/optimizer.safetensors").rename(folder / "optimizer.safetensors")
    recipe = asdict(Recipe(optimizer=spec))
    origin = {"folder": str(tmp_path / "home")}
    write_json(folder / "config.json", {"problem": "x", "recipe": recipe, "origin": origin})
    monkeypatch.delattr(sys, "metadescent_ran", raising=False)
    return folder


def make(spec: str) -> object:
    return make_optimizer(spec, jax.random.key(0))


def moved(m: object) -> list[float]:
    theta = jnp.ones(2)
    return m.update(theta, m.init(theta), theta)[0].tolist()  # type: ignore[attr-defined]


def test_a_run_s_own_class_is_loaded_from_anywhere(run: Path) -> None:
    rate = moved(load(run))
    assert moved(load(run / "optimizer.safetensors")) == rate
    assert moved(load(Path("home/r"))) == rate


def test_what_stages_leave_beside_their_folders_is_theirs(run: Path) -> None:
    (run.parent / "optimizer.safetensors").write_bytes((run / "optimizer.safetensors").read_bytes())
    assert moved(load(run.parent)) == moved(load(run))


def test_a_file_by_itself_runs_nothing_unless_it_is_trusted(
    run: Path, spec: str, sentence: Callable
) -> None:
    alone = Path("alone.safetensors")
    alone.write_bytes((run / "optimizer.safetensors").read_bytes())
    assert sentence(load, alone) == (
        f"{alone} holds an optimizer of a class outside the package, {spec}, which is code, and "
        "does not lie in its run; where you trust that code, add --trust"
    )
    assert not hasattr(sys, "metadescent_ran")
    with chdir("home"):
        assert moved(load(run.parents[1] / alone, trust=True)) == moved(load(run))


def test_a_run_that_names_another_class_does_not_vouch(run: Path, sentence: Callable) -> None:
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace("my_rule.py", "other.py"))
    assert "add --trust" in sentence(load, run)
    assert not hasattr(sys, "metadescent_ran")


def test_whoever_goes_on_from_it_names_the_class(run: Path, spec: str) -> None:
    with chdir("home"):
        assert moved(initial_optimizer(Recipe(optimizer=spec, init="r"))) == moved(load(run))
