"""`train --resume RUN`: without another flag, from another folder, with more epochs, for a time."""

import json
import shutil
import signal
from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from metadescent import zoo
from metadescent.cli import training
from metadescent.runs import training as runs_training
from metadescent.runs.extension import epochs_within
from metadescent.runs.folder import read_config
from metadescent.runs.log import read_metrics
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import Patience, Stopped
from metadescent.zoo.cards import read_card

MINE = """
import jax, jax.numpy as jnp
from metadescent import FromFunction

def bowls(centre=1.0):
    return FromFunction(
        lambda theta, key: jnp.sum((theta - centre) ** 2), lambda key: jax.random.normal(key, (3,))
    )
"""


def left_by(folder: Path) -> tuple[list[Any], bytes]:
    """What a run has logged but for its clock, and its whole last state."""
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder)]
    return lines, max((folder / "checkpoints").iterdir()).read_bytes()


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the next training end after an epoch, as after Ctrl-C."""

    def now() -> None:
        check = Patience.check

        def stop(patience: Patience, what: str) -> None:
            monkeypatch.setattr(Patience, "check", check)
            raise Stopped(signal.SIGINT, what)

        monkeypatch.setattr(Patience, "check", stop)

    return now


def test_after_ctrl_c_the_sentence_has_the_command_that_goes_on(
    train: Callable, metadescent: Callable, interrupt: Callable, trained: tuple[Path, str, str]
) -> None:
    interrupt()
    status, _, said = train("--out", "my run")
    assert status == 130
    again = "metadescent train --resume 'my run'"
    assert said.splitlines()[-1] == (
        "metadescent: stopped after epoch 1 of 2, which is saved in my run; go on with " + again
    )
    assert metadescent("train", "--resume", "my run")[0] == 0
    assert left_by(Path("my run")) == left_by(trained[0])


@pytest.mark.parametrize("words", [("--resume=run",), ("run/", "--resume"), ("--resume", "run")])
def test_a_finished_run_has_nothing_to_do_and_says_how_to_go_on(
    words: tuple[str, ...], run: Path, metadescent: Callable, trained: tuple[Path, str, str]
) -> None:
    run.rename("run")
    before = left_by(Path("run"))
    status, out, said = metadescent("train", *words)
    assert (status, out) == (0, trained[1].replace(str(Path("runs", "quadratic")), "run"))
    assert said == (
        "run has had its 2 epochs; metadescent train --resume run --epochs 4 gives it more.\n"
    )
    assert left_by(Path("run")) == before


def test_the_run_s_own_flags_are_the_defaults_and_others_are_refused(
    run: Path, metadescent: Callable, one_sentence: Callable
) -> None:
    before = read_config(run)
    for words in (["r", "--resume"], ["quadratic", "--out", "r", "--resume"]):
        assert metadescent("train", *words)[0] == 0
        for flag, value, name, begun in [
            ("--clip", "1", "clip", "20.0 and 1.0"),
            ("--epochs", "1", "epochs", "2 and 1"),
            ("--seed", "3", "seed", "0 and 3"),
        ]:
            result = metadescent("train", *words, flag, value)
            assert one_sentence(result) == (
                f"r belongs to another configuration: its {name} is {begun} was asked for; "
                "metadescent train --resume r goes on as it was begun, or choose another folder"
            )
    said = one_sentence(metadescent("train", "convex", "--out", "r", "--resume"))
    assert "its problem is 'quadratic' and 'convex' was asked for" in said
    assert read_config(run) == before


def test_of_a_problem_in_a_file_from_another_folder(
    train: Callable, metadescent: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    problem = "mine.py:bowls(centre=2.0)"
    assert train(problem=problem)[0] == 0
    folder = tmp_path / "runs" / "mine.py-bowls-centre=2.0"
    (tmp_path / "elsewhere").mkdir()
    with chdir("elsewhere"):
        status, _, said = metadescent("train", "--resume", f"../runs/{folder.name}")
    assert (status, "has had its 2 epochs" in said) == (0, True)
    assert read_card(zoo.path(folder))["trained_on"] == problem


@pytest.mark.slow
def test_stopped_and_gone_on_with_from_another_folder_it_is_unbroken(
    train: Callable, metadescent: Callable, tmp_path: Path, interrupt: Callable
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    problem = "mine.py:bowls(centre=2.0)"
    assert train("--out", "whole", problem=problem)[0] == 0
    interrupt()
    assert train("--out", "r", problem=problem)[0] == 130
    (tmp_path / "elsewhere").mkdir()
    with chdir("elsewhere"):
        assert metadescent("train", "--resume", "../r")[0] == 0
    assert left_by(tmp_path / "r") == left_by(tmp_path / "whole")
    # The card names things as the run does, wherever it was gone on with.
    assert read_card(zoo.path("r"))["trained_on"] == problem


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_an_extended_run_is_the_longer_one_where_the_rate_does_not_depend_on_the_count(
    decay: str, train: Callable, metadescent: Callable
) -> None:
    words = ("--decay", decay)
    assert train(*words, "--out", "r")[0] == 0
    status, _, said = metadescent("train", "--resume", "r", "--epochs", "4")
    assert status == 0
    same = "r is extended from 2 epochs to 4 and goes on from epoch 2, as a run begun with 4 epochs"
    other = "so it ends elsewhere than a run begun with 4 epochs.\n"
    assert (same in said, other in said) == (
        (True, False) if decay == "constant" else (False, True)
    )
    assert "goes back to 0.0015 and falls to 0 by epoch 4" in said or decay == "constant"
    assert train(*words, "--out", "long", "--epochs", "4")[0] == 0
    assert (left_by(Path("r")) == left_by(Path("long"))) == (decay == "constant")
    assert [line["epoch"] for line in read_metrics(Path("r"))] == [1, 2, 3, 4]
    extended = [{"epoch": 2, "from": 2, "to": 4}]
    assert read_config(Path("r"))["extended"] == extended
    # Of the best φ, which may be older than that.
    card = read_card(zoo.path("r"))
    late = card["budget"]["epoch"] > 2
    assert card["budget"].get("extended") == (extended if late else None)
    assert card["budget"]["epochs"] == card["recipe"]["epochs"] == (4 if late else 2)


def test_a_run_that_is_over_is_extended_by_as_many_epochs_as_fit_into_the_minutes(
    train: Callable, metadescent: Callable
) -> None:
    assert train("--out", "r")[0] == 0
    for done, epochs in ((2, 4), (4, 5)):
        an_epoch = read_metrics(Path("r"))[-1]["seconds"] / done
        minutes = (epochs + 0.5) * an_epoch / 60
        status, _, said = metadescent("train", "--resume", "r", "--minutes", str(minutes))
        assert status == 0
        assert f"r is extended from {done} epochs to {epochs} and goes on from epoch {done}" in said
    assert len(read_metrics(Path("r"))) == 5
    for minutes in ("1e-6", "inf"):
        status, _, said = metadescent("train", "--resume", "r", "--minutes", minutes)
        assert status == 0
        assert "r has had its 5 epochs" in said


def test_the_minutes_of_a_choice_are_a_part_of_all(tmp_path: Path) -> None:
    def put(name: str, value: Any) -> None:
        (tmp_path / name).write_text(json.dumps(value))

    names = ("meta_loss", "gradient_norm", "validation_loss", "best_loss")
    losses = dict.fromkeys(names, 1.0)
    lines = [json.dumps({"epoch": k, "seconds": 10.0 * k, **losses}) for k in range(1, 7)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines[:4]) + "\n")
    recipe = asdict(Recipe(epochs=4))
    put("config.json", {"problem": "quadratic", "recipe": recipe})
    assert epochs_within(tmp_path, 2.0) == 12
    asked = {"problem": "quadratic", "steps": 100, "minutes": 1.0, "seed": 0}
    put("choice.json", {"asked": asked, "seconds": 20.0})
    assert epochs_within(tmp_path, 2.0) == 4 + 6
    # So it is if the run has been extended before.
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    extended = [{"epoch": 4, "from": 4, "to": 6}]
    put("config.json", {"problem": "quadratic", "recipe": recipe, "extended": extended})
    assert epochs_within(tmp_path, 2.0) == 4 + 6


def test_a_run_that_lost_its_patience_is_not_extended(
    train: Callable, metadescent: Callable, one_sentence: Callable
) -> None:
    assert train("--out", "r", "--epochs", "9", "--patience", "1", "--meta-rate", "0")[0] == 0
    before, done = Path("r", "config.json").read_bytes(), len(read_metrics(Path("r")))
    assert done < 9
    assert one_sentence(metadescent("train", "--resume", "r", "--epochs", "20")) == (
        f"r stopped by itself at epoch {done} of 9, as its best loss was 1 epochs old, which 20 "
        "epochs do not change; go on in another folder by --init r --patience 0"
    )
    assert Path("r", "config.json").read_bytes() == before


def test_what_is_refused_extends_nothing(
    train: Callable, metadescent: Callable, tmp_path: Path, one_sentence: Callable
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    assert train("--out", "r", problem="mine.py:bowls")[0] == 0
    before = Path("r", "config.json").read_bytes()
    result = metadescent("train", "--resume", "r", "--epochs", "3", "--clip", "1")
    assert "its clip is 20.0 and 1.0 was asked for" in one_sentence(result)
    (tmp_path / "mine.py").write_text(MINE.replace("** 2", "** 4"))
    result = metadescent("train", "--resume", "r", "--epochs", "3")
    assert "f is another function than the one that r was begun with" in one_sentence(result)
    assert Path("r", "config.json").read_bytes() == before


def test_minutes_are_of_the_whole_run_and_end_it_saved(
    train: Callable, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 45))
    monkeypatch.setattr(runs_training.time, "monotonic", lambda: float(next(clock)))
    status, out, said = train("--out", "r", "--epochs", "6", "--minutes", "2")
    assert status == 0
    epochs = len(read_metrics(Path("r")))
    assert 0 < epochs < 6
    trained = read_metrics(Path("r"))[-1]["seconds"]
    assert trained >= 120 > (read_metrics(Path("r"))[-2]["seconds"] if epochs > 1 else 0)
    assert f"it stops after epoch {epochs} of 6, which is saved; go on with metadescent" in said
    assert out.startswith("Best validation loss ")
    assert read_card(zoo.path("r"))["budget"]["minutes"] == 2
    # Again, they are over: nothing is done.
    assert metadescent("train", "--resume", "r", "--minutes", "2")[1] == out
    assert len(read_metrics(Path("r"))) == epochs
    assert metadescent("train", "--resume", "r")[0] == 0
    monkeypatch.undo()


def test_minutes_are_of_one_run(train: Callable, one_sentence: Callable) -> None:
    said = one_sentence(train("--minutes", "3", "--seeds", "2"))
    assert said.startswith("--minutes is 3, which is for one run, and --seeds is for several; ")


@pytest.mark.usefixtures("run")
def test_what_is_no_run_is_said_in_a_sentence(
    metadescent: Callable, one_sentence: Callable
) -> None:
    def said(*words: str) -> str:
        return one_sentence(metadescent("train", *words))

    assert (
        said("--resume", "rr")
        == "rr is neither the folder of a run nor a problem; did you mean 'r'?"
    )
    goes_on = "try metadescent train --resume r"
    assert said("r") == f"r is the folder of a run, which goes on with --resume; {goes_on}"
    assert said("r", "--resume", "--search", "2") == (
        f"r is the folder of a run, which takes no --search; {goes_on}"
    )
    shutil.copytree("r", "several/seed-0")
    assert said("--resume", "several") == (
        "several holds several runs; repeat the words that began them with --resume, or go on with "
        "one of them, such as metadescent train --resume several/seed-0"
    )
    # A folder's name that is a problem's too is the folder, unless that may be meant otherwise.
    shutil.copytree("r", "quadratic")
    assert metadescent("train", "quadratic", "--resume")[0] == 0
    assert not Path("runs").exists()
    shutil.copytree("r", "runs/quadratic")
    assert "try --resume quadratic/ or --out runs/quadratic" in said("quadratic", "--resume")
    assert metadescent("train", "quadratic/", "--resume")[0] == 0


def test_the_place_of_the_data_is_kept(
    train: Callable, metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    make = training.make_problem

    def make_problem(name: str, data_dir: Path | None) -> Any:
        seen.append(data_dir)
        return make(name, data_dir)

    monkeypatch.setattr(training, "make_problem", make_problem)
    (tmp_path / "sets").mkdir()
    assert train("--out", "r", "--data-dir", "sets")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    with chdir("elsewhere"):
        assert metadescent("train", "--resume", "../r")[0] == 0
    # To train on, and to judge by.
    assert [*dict.fromkeys(seen)] == [Path("sets"), tmp_path / "sets"]
    (tmp_path / "sets").rmdir()
    assert metadescent("train", "--resume", "r")[0] == 0
    assert seen[-1] is None


def test_extensions_that_are_none_are_refused(
    run: Path, metadescent: Callable, one_sentence: Callable
) -> None:
    config = read_config(run)
    for extended in (3, [3], [{"from": "2"}]):
        (run / "config.json").write_text(json.dumps({**config, "extended": extended}))
        assert "does not say what the run is" in one_sentence(metadescent("train", "--resume", "r"))
