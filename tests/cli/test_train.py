"""`train`: what a run leaves, prints and refuses."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from metadescent import zoo
from metadescent.cli import _parse
from metadescent.registry import recipe_of
from metadescent.runs.recipe import Recipe
from metadescent.zoo.cards import read_card


def test_train_leaves_a_run_and_says_where(
    trained: tuple[Path, str, str], tiny: dict[str, Any]
) -> None:
    run, out, said = trained
    assert said.splitlines()[-1].startswith("meta-train 2/2")
    assert all(word in said for word in ("meta-loss ", "validation ", "meta-rate ", " left"))
    assert f"{Path('runs', 'quadratic', 'optimizer.safetensors')}" in out
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "config.json",
        "metrics.jsonl",
        "checkpoints",
        "optimizer.safetensors",
    }
    config = json.loads((run / "config.json").read_text())
    assert config.pop("origin")["folder"] == str(run.parents[1])
    assert config == {
        "problem": "quadratic",
        "recipe": {**asdict(Recipe()), **recipe_of("quadratic"), **tiny},
    }
    assert zoo.load(run).layers == (4,)


def test_train_twice_needs_resume_and_then_has_nothing_to_do(
    run: Path, trained: tuple[Path, str, str], train: Callable
) -> None:
    before = (run / "optimizer.safetensors").read_bytes()
    status, out, said = train("--out", "r")
    assert (status, out) == (2, "")
    assert said == (
        "metadescent: r already holds a run; go on with it by metadescent train --resume r or "
        "choose another folder\n"
    )
    first = trained[1].replace(str(Path("runs", "quadratic")), "r")
    assert train("--out", "r", "--resume")[:2] == (0, first)
    assert (run / "optimizer.safetensors").read_bytes() == before


@pytest.mark.usefixtures("run")
def test_resume_with_other_flags_says_what_differs(train: Callable) -> None:
    status, _, said = train("--out", "r", "--resume", "--clip", "1")
    assert status == 2
    assert said.splitlines()[-1] == (
        "metadescent: r belongs to another configuration: its clip is 20.0 and 1.0 was asked for; "
        "metadescent train --resume r goes on as it was begun, or choose another folder"
    )


@pytest.mark.slow
def test_search_takes_the_meta_rate_that_did_best(train: Callable, tmp_path: Path) -> None:
    status, out, _ = train("--out", "r", "--search", "2")
    assert status == 0
    found = {}
    for trial in (tmp_path / "r" / "search").iterdir():
        rate = json.loads((trial / "config.json").read_text())["recipe"]["meta_rate"]
        lines = (trial / "metrics.jsonl").read_text().splitlines()
        found[rate] = min(json.loads(line)["validation_loss"] for line in lines)
        assert f"{rate:.3g}" in out
    assert len(found) == 2
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["recipe"]["meta_rate"] == min(found, key=found.__getitem__)


MINE = """
import equinox as eqx, jax, jax.numpy as jnp
from metadescent import Optimizee, Problem

class Bowl(Optimizee):
    bad: jax.Array

    def init(self, key):
        return jnp.ones(2)

    def loss(self, theta, key):
        # At θ₀ it is finite.
        return jnp.where(self.bad & (theta[0] != 1), jnp.nan, jnp.sum(theta**2))

class Bowls(Problem):
    share: float = 0.0

    def sample(self, key):
        return Bowl(jax.random.bernoulli(key, self.share))
"""


def test_train_on_a_problem_of_one_s_own(train: Callable, tmp_path: Path) -> None:
    (tmp_path / "bowls.py").write_text(MINE)
    status, _, said = train("--out", "r", problem="bowls.py:Bowls")
    assert status == 0, said
    assert read_card(zoo.path("r"))["trained_on"] == "bowls.py:Bowls"


@pytest.mark.slow
def test_train_on_problems_side_by_side_by_an_estimator_of_one_s_choice(
    flags: list[str], tiny: dict, train: Callable
) -> None:
    both = "quadratic(dimension=2) + convex(dimension=3)"
    status, _, said = train("--estimator", "pes(std=0.1)", problem=both)
    assert status == 0, said
    assert re.match(r"Predicted peak memory \S+ \S+ \(pes\), ", said)
    card = read_card(zoo.path(str(Path("runs", "quadratic-dimension=2+convex-dimension=3"))))
    assert card["trained_on"] == both
    assert card["recipe"]["estimator"] == "pes(std=0.1)"
    # The first problem's recipe, but for the flags.
    assert card["recipe"] == {
        **asdict(Recipe()),
        **recipe_of("quadratic"),
        **json.loads(json.dumps(tiny)),
        "estimator": "pes(std=0.1)",
    }


def test_a_class_that_a_file_lacks_gets_the_nearest(train: Callable, tmp_path: Path) -> None:
    (tmp_path / "bowls.py").write_text(MINE)
    status, _, said = train(problem="bowls.py:Bowlz")
    assert status == 2
    assert said == "metadescent: bowls.py has no Problem named 'Bowlz'; did you mean 'Bowls'?\n"


def test_a_meta_loss_that_is_not_finite_gets_a_sentence(train: Callable, tmp_path: Path) -> None:
    (tmp_path / "bowls.py").write_text(MINE)
    words, problem = ("--epochs", "50", "--out", "r"), "bowls.py:Bowls(share=0.1)"
    status, out, said = train(*words, problem=problem)
    assert (status, out) == (2, "")
    *_, last = said.splitlines()
    assert last.startswith("metadescent: the meta-loss or its gradient ceased to be finite (loss ")
    assert "Traceback" not in said
    # Again by --resume: the same sentence, and the checkpoint is still there.
    kept = {path: path.read_bytes() for path in Path("r").rglob("*.*")}
    assert train(*words, "--resume", problem=problem)[2].splitlines()[-1] == last
    assert {path: path.read_bytes() for path in Path("r").rglob("*.*")} == kept


def test_on_a_full_disk_training_says_so(train: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    status, out, said = train("--out", "r")
    assert (status, out) == (2, "")
    *_, last = said.splitlines()
    assert last.startswith(f"metadescent: the disk is full: {Path('r', 'config.json')} (")
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("first", ["0", "1"])
def test_a_run_with_64_bits_or_without_is_resumed_as_it_was_begun_and_used_with_and_without(
    first: str, tmp_path: Path
) -> None:
    def metadescent(wide: str, *words: str, status: int = 0) -> str:
        program = "from metadescent.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            env=os.environ | {"JAX_ENABLE_X64": wide},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr

    sizes = "--steps 4 --unroll 2 --problems 2 --episodes 1 --validation-problems 2 --epochs 2"
    flags = ["--optimizer", "lstm(layers=(2,))", *sizes.split(), "--out", str(tmp_path / "run")]
    train = ["train", "quadratic(dimension=3)", *flags]
    metadescent(first, *train)
    other = "1" if first == "0" else "0"
    # As if it had been stopped after its first epoch.
    (tmp_path / "run" / "checkpoints" / "epoch-000002.safetensors").unlink()
    # Numbers are drawn otherwise with 64 bits.
    said = metadescent(other, *train, "--resume", status=2)
    assert f"was begun with jax_enable_x64 = {first == '1'}" in said
    metadescent(first, *train, "--resume")
    evaluate = ["evaluate", str(tmp_path / "run"), "quadratic(dimension=3)"]
    metadescent(other, *evaluate, "--steps", "3", "--seeds", "2")


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], True),
        (["--minutes", "3", "--steps", "50", "--seed", "3", "--out", "x"], True),
        (["--recipe", "paper"], False),
        # Even where it is the default.
        (["--epochs", "100"], False),
        (["--no-second-derivatives"], False),
        (["--problems=4"], False),
        (["--seeds", "2"], False),
        (["--search", "2"], False),
    ],
)
def test_a_recipe_is_chosen_for_problems_of_ones_own_if_none_is_given(
    words: list[str], chosen: bool
) -> None:
    assert (_parse(["train", "mine.py:lines", *words]).by == "choice") is chosen
    assert _parse(["train", "quadratic", *words]).by != "choice"


def test_a_recipe_is_chosen_for_any_problem_where_it_is_asked_for(sentence: Callable) -> None:
    words = ["train", "quadratic", "--recipe", "choice"]
    assert _parse(words).by == "choice"
    assert sentence(_parse, [*words, "--epochs", "3"]) == (
        "--epochs is given and the recipe is to be chosen; leave it out or try --recipe paper"
    )
