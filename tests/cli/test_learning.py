"""`train` where the recipe is its to choose: what it prints, leaves and refuses."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent.cli import _parse
from metadescent.cli.train import Train

LINES = """
import jax, jax.numpy as jnp
from metadescent import FromFunction
data = jax.random.normal(jax.random.key(0), (50, 2, 5))
def loss(theta, key, points):
    return jnp.mean((theta[0] + theta[1] * points[0] - points[1]) ** 2)
lines = FromFunction(loss, lambda key: jax.random.normal(key, (2,)), data)
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
            "--seeds is given and the recipe is to be chosen; leave it out or try --recipe paper",
        ),
        (
            "--resume r --tensorboard",
            "--tensorboard is given and the recipe is to be chosen; leave it out or try --recipe "
            "paper",
        ),
        (
            "--resume r --epochs 3",
            "--epochs is given and the recipe is to be chosen; leave it out or try --recipe paper",
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


@pytest.mark.slow
def test_it_learns_says_so_and_is_used_like_any_run(
    begun: Path, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it sets is for processes of its own.
    monkeypatch.setenv("XLA_FLAGS", "")
    (begun / "choice.json").unlink()
    status, out, err = metadescent(
        *["train", "mine.py:lines", "--out", "r", "--minutes", "0.1", "--steps", "10"]
    )
    assert status == 0, err
    for word in ("look (", "start lstm", "try ", "train", "judge"):
        assert word in err
    assert "Steps to the levels of" in out
    assert "speed-up" in out
    assert "learned " in out
    assert f"The optimizer is {Path('r', 'optimizer.safetensors')}." in out
    # Nothing is left to do but to say it again.
    again = metadescent("train", "--resume", "r")
    assert again[0] == 0
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
    assert last.endswith(" as it begins.") or isinstance(_parse(shlex.split(last)[1:]), Train)
