"""`train` where the recipe is its to choose: what it prints, leaves and refuses."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent.cli import _parse
from metadescent.cli.learning import _without_search
from metadescent.cli.train import Train
from metadescent.runs.log import read_metrics
from metadescent.runs.recipe import Recipe

LINES = """
import jax, jax.numpy as jnp
from metadescent import FromFunction
data = jax.random.normal(jax.random.key(0), (50, 2, 5))
def loss(theta, key, points):
    return jnp.mean((theta[0] + theta[1] * points[0] - points[1]) ** 2)
lines = FromFunction(loss, lambda key: jax.random.normal(key, (2,)), data)
others = FromFunction(loss, lambda key: jax.random.normal(key, (2,)), data + 1)
lost = FromFunction(loss, lambda key: jax.random.normal(key, (2,)) / 0, data)
"""


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a choice that was stopped before anything had come out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LINES)
    run = tmp_path / "r"
    run.mkdir()
    asked = {"problem": "mine.py:lines", "steps": 100, "minutes": 10.0, "seed": 0}
    (run / "choice.json").write_text(json.dumps({"asked": asked}))
    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "mine.py:lines --out r",
            "r already holds a run; go on with it by metadescent train --resume r or choose "
            "another folder",
        ),
        (
            "mine.py:lines --out r --epochs 2",
            "r already holds a run; go on with it by metadescent train --resume r or choose "
            "another folder",
        ),
        (
            "--resume r --minutes 3",
            "r was begun with minutes 10.0 and 3.0 was asked for; metadescent train --resume r "
            "goes on as it was begun, or choose another folder",
        ),
        (
            "--resume r --steps 50",
            "r was begun with steps 100 and 50 was asked for; metadescent train --resume r goes on "
            "as it was begun, or choose another folder",
        ),
        (
            "mine.py:lines --out r --resume --recipe choice --seeds 3",
            "--seeds is given and the recipe is to be chosen; leave it out or choose another "
            "folder",
        ),
        (
            "--resume r --memory-budget 2GiB",
            "--memory-budget is given and the recipe is to be chosen; leave it out or choose "
            "another folder",
        ),
        (
            "--resume r --epochs 3",
            "--epochs is given and the recipe is to be chosen; leave it out or choose another "
            "folder",
        ),
        (
            "mine.py:lines --out r --resume --recipe paper",
            "--recipe is given and the recipe is to be chosen; leave it out or choose another "
            "folder",
        ),
        (
            "mine.py:others --out r --resume",
            "r was begun with problem mine.py:lines and mine.py:others was asked for; metadescent "
            "train --resume r goes on as it was begun, or choose another folder",
        ),
    ],
)
def test_a_choice_that_was_begun_is_gone_on_with_as_it_was(
    words: str, said: str, begun: Path, metadescent: Callable
) -> None:
    before = (begun / "choice.json").read_text()
    status, out, err = metadescent("train", *words.split())
    assert (status, out, err) == (2, "", f"metadescent: {said}\n")
    assert (begun / "choice.json").read_text() == before
    assert [path.name for path in begun.iterdir()] == ["choice.json"]


def test_flags_of_other_runs_are_refused_before_a_choice_is_begun(
    begun: Path, metadescent: Callable
) -> None:
    status, _, err = metadescent("train", "mine.py:lines", "--out", "new", "--memory-budget=2GiB")
    assert (status, err) == (
        2,
        "metadescent: --memory-budget is given and the recipe is to be chosen; leave it out or try "
        "--recipe paper\n",
    )
    assert not (begun.parent / "new").exists()


def test_a_refused_f_may_be_mended_and_tried_again_by_the_same_words(
    begun: Path, metadescent: Callable
) -> None:
    status, _, err = metadescent("train", "mine.py:lost", "--out", "new")
    assert status == 2
    assert "f is not finite at θ₀" in err
    assert not (begun.parent / "new" / "choice.json").exists()


def test_the_command_without_the_search_has_the_recipe() -> None:
    recipe = Recipe(estimator="es(pairs=2,levels='0.5@10*2')", steps=30, unroll=30, levels="0.5@9")
    words = shlex.split(_without_search("mine.py:lines", recipe, [("out", "r-again")]))
    command = _parse(words[1:])
    assert isinstance(command, Train)
    assert (command.recipe, command.out, command.by) == (recipe, Path("r-again"), "auto")


@pytest.mark.slow
def test_it_learns_says_so_and_is_used_like_any_run(
    begun: Path, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it sets is for processes of its own.
    monkeypatch.setenv("XLA_FLAGS", "")
    (begun / "choice.json").unlink()
    status, out, err = metadescent(
        *["train", "mine.py:lines", "--out", "r", "--minutes", "0.1", "--steps", "10"],
        *["--log", "csv"],
    )
    assert status == 0, err
    for word in ("look (", "start lstm", "try ", "judge"):
        assert word in err
    assert "Steps to the levels of" in out
    assert "speed-up" in out
    assert "learned " in out
    assert f"The optimizer is {Path('r', 'optimizer.safetensors')}." in out
    # The run is logged, and no trial.
    assert [*begun.rglob("metrics.csv")] == [begun / "metrics.csv"]
    table = (begun / "metrics.csv").read_text()
    assert len(table.splitlines()) == 1 + len(read_metrics(begun))
    # Nothing is left to do but to say it again, and to log what is there.
    (begun / "metrics.csv").unlink()
    again = metadescent("train", "--resume", "r", "--log", "csv")
    assert again[0] == 0
    assert (begun / "metrics.csv").read_text() == table
    assert again[1].splitlines()[-1] == out.splitlines()[-1]
    assert "try " not in again[2]
    words = ["evaluate", "r", "mine.py:lines", "--steps", "10", "--seeds", "8", "--against", "sgd"]
    assert metadescent(*words)[0] == 0
    # It is found from another folder, too.
    (begun.parent / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert metadescent("train", "--resume", "../r")[0] == 0
    # The command that repeats it is one.
    last = out.splitlines()[-1]
    untrained = last.endswith(" as it begins: nothing is to be trained.")
    assert untrained or isinstance(_parse(shlex.split(last)[1:]), Train)
    # More minutes are more epochs of the run that was chosen.
    monkeypatch.chdir("..")
    before = len(read_metrics(begun))
    longer = metadescent("train", "--resume", "r", "--minutes", "0.2")
    assert longer[0] == 0
    assert len(read_metrics(begun)) > before
