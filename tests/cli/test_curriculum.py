"""`train --curriculum`: stages, killed and resumed, that never end worse."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from metadescent import cli, zoo
from metadescent.registry import make_optimizer, make_problem
from metadescent.runs.curriculum import validate_init
from metadescent.runs.folder import read_config
from metadescent.runs.recipe import Recipe
from metadescent.zoo.cards import read_card

PROBLEM = "quadratic(dimension=2)"
SPEC = "lstm(layers=(2,), p=None, scale=1.0)"
SIZES = ("--optimizer", SPEC, "--average", "0", "--out", "r")


@pytest.fixture
def train_in_stages(train: Callable) -> Callable:
    """Run `train --curriculum` on little work."""

    def run(horizons: str, *words: str, problem: str = PROBLEM) -> tuple[int, str, str]:
        return train(*SIZES, f"--curriculum={horizons}", *words, problem=problem)

    return run


def left_in(folder: Path) -> dict[str, Any]:
    """All that a curriculum leaves, except what a clock says, and which process it was."""
    found: dict[str, Any] = {}
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    for path in sorted(files):
        name = str(path.relative_to(folder))
        if path.name == "metrics.jsonl":
            lines = map(json.loads, path.read_text().splitlines())
            found[name] = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
        elif path.name == "optimizer.safetensors":
            phi = jax.tree.leaves(zoo.load(path))
            found[name] = [np.asarray(leaf).tobytes() for leaf in phi]
        elif path.name == "config.json":
            config = json.loads(path.read_text())
            init = config["recipe"].pop("init")
            config["origin"].pop("folder")
            found[name] = (config, init and Path(init).relative_to(folder.name))
        else:
            found[name] = path.read_bytes()
    return found


@pytest.mark.slow
def test_a_curriculum_leaves_its_stages_and_the_best_of_them(
    train_in_stages: Callable, tmp_path: Path
) -> None:
    status, out, said = train_in_stages("2,4")
    assert status == 0, said
    lines = [line for line in out.splitlines() if line.startswith("Stage")]
    assert lines == ["Stage 1 of 2: 2 steps.", "Stage 2 of 2: 4 steps."]
    folder = tmp_path / "r"
    assert {path.name for path in folder.iterdir()} == {
        "steps-2",
        "steps-4",
        "optimizer.safetensors",
    }
    recipes = [read_card(folder / f"steps-{n}/optimizer.safetensors")["recipe"] for n in (2, 4)]
    assert [(r["steps"], r["validation_steps"]) for r in recipes] == [(2, 4), (4, 4)]
    ended = "It did not improve on what it began with: the curriculum ends." in out
    last = folder / ("steps-2" if ended else "steps-4") / "optimizer.safetensors"
    assert (folder / "optimizer.safetensors").read_bytes() == last.read_bytes()
    assert out.splitlines()[-1].endswith(f": {Path('r', 'optimizer.safetensors')}")
    assert zoo.load("r").layers == (2,)


@pytest.mark.slow
def test_a_stage_that_does_not_improve_ends_the_curriculum(
    train_in_stages: Callable, tmp_path: Path
) -> None:
    # Without a meta-rate no stage ever does.
    words = ("2,4,6", "--meta-rate", "0")
    status, out, said = train_in_stages(*words)
    assert status == 0, said
    assert "Stage 2 of 3: 4 steps." in out
    assert "It did not improve on what it began with: the curriculum ends." in out
    assert "Stage 3" not in out
    folder = tmp_path / "r"
    assert not (folder / "steps-6").exists()
    kept = (folder / "steps-2" / "optimizer.safetensors").read_bytes()
    assert (folder / "optimizer.safetensors").read_bytes() == kept
    # Again by --resume: the same end.
    before = left_in(folder)
    assert train_in_stages(*words, "--resume")[:2] == (0, out)
    assert left_in(folder) == before


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, flags: list[str]) -> dict[str, Any]:
    """What a curriculum leaves that was not stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("unbroken"))
        cli._parse(["train", PROBLEM, *flags, *SIZES, "--curriculum", "2,4"]).run()
        return left_in(Path("r").resolve())


@pytest.mark.parametrize(
    "last",
    [
        "steps-2/config.json",
        "steps-2/checkpoints/epoch-000001.safetensors",
        "optimizer.safetensors",
        "steps-4/config.json",
        "steps-4/optimizer.safetensors",
        "steps-4/checkpoints/epoch-000002.safetensors",
    ],
)
def test_a_curriculum_killed_and_resumed_is_unbroken(
    last: str,
    train_in_stages: Callable,
    tmp_path: Path,
    unbroken: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if Path(target).resolve() == tmp_path / "r" / last:
            raise Killed
        write(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    with pytest.raises(Killed):
        train_in_stages("2,4")
    monkeypatch.setattr(os, "replace", write)
    assert not (tmp_path / "r" / last).exists()
    assert train_in_stages("2,4", "--resume")[0] == 0
    assert left_in(tmp_path / "r") == unbroken


def test_a_curriculum_twice_needs_resume(train_in_stages: Callable, tmp_path: Path) -> None:
    assert train_in_stages("2,4")[0] == 0
    before = left_in(tmp_path / "r")
    status, _, said = train_in_stages("2,4")
    assert status == 2
    assert said.splitlines()[-1] == (
        f"metadescent: {Path('r', 'steps-2')} already holds a run; go on with it by the same words "
        "and --resume or choose another folder"
    )
    assert left_in(tmp_path / "r") == before


@pytest.mark.parametrize(
    ("horizons", "expected"),
    [
        ("2,two", "'2,two' are no horizons; try 100,200,500,1000"),
        ("", "'' are no horizons; try 100,200,500,1000"),
        ("2,,4", "'2,,4' are no horizons; try 100,200,500,1000"),
        ("4,2", "the horizons of a curriculum are 4, 2; try 100,200,500"),
        ("4,4", "the horizons of a curriculum are 4, 4; try 100,200,500"),
        ("0,4", "steps is 0 and must be at least 1"),
        (
            "3,4",
            "the horizon of 3 steps in the curriculum is not a multiple of the unroll of 2; try 4",
        ),
    ],
)
def test_bad_horizons_are_refused_before_anything_is_written(
    horizons: str, expected: str, train_in_stages: Callable, tmp_path: Path
) -> None:
    status, _, said = train_in_stages(horizons)
    assert status == 2
    assert said.splitlines()[-1] == f"metadescent: {expected}"
    assert list(tmp_path.iterdir()) == []


def test_a_late_horizon_that_is_bad_is_refused_before_anything_is_written(
    train_in_stages: Callable, tmp_path: Path
) -> None:
    status, _, said = train_in_stages("2,3")
    assert status == 2
    assert "the horizon of 3 steps in the curriculum is not a multiple" in said
    assert list(tmp_path.iterdir()) == []


NOT_FAR = """
import jax, jax.numpy as jnp
from metadescent import Optimizee, Problem

class Edge(Optimizee):
    def init(self, key):
        return 0.01 * jax.random.normal(key, (2,))

    def loss(self, theta, key):
        return jnp.where(jnp.abs(theta).max() > 2.0, jnp.nan, jnp.sum(theta))

class Edges(Problem):
    def sample(self, key):
        return Edge()
"""


def test_a_stage_that_is_finite_nowhere_that_it_is_validated_gets_a_sentence(
    train_in_stages: Callable, tmp_path: Path
) -> None:
    (tmp_path / "edge.py").write_text(NOT_FAR)
    status, _, said = train_in_stages("2,100", problem="edge.py:Edges")
    assert status == 2
    assert said.splitlines()[-1].startswith("metadescent: ")


def test_a_curriculum_never_ends_worse_than_the_optimizer_it_goes_on_from(
    train_in_stages: Callable, tmp_path: Path
) -> None:
    m = make_optimizer(SPEC, jax.random.key(0))
    still = eqx.tree_at(lambda m: m.output.weight, m, 0 * m.output.weight)
    zoo.save(tmp_path / "still.safetensors", still, optimizer=SPEC)
    assert train_in_stages("4", "--init", "still.safetensors", "--meta-rate", "30")[0] == 0
    recipe = Recipe(**read_config(Path("r", "steps-4"))["recipe"])
    worth = [
        validate_init(replace(recipe, init=init), make_problem(PROBLEM))
        for init in ("still.safetensors", "r")
    ]
    assert worth[1] <= worth[0]
