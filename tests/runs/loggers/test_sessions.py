"""A run and its loggers: each epoch is logged once it is saved, and once, whatever befalls."""

import contextlib
import csv
import itertools
import json
import math
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from metadescent import cli
from metadescent.cli.train import Train
from metadescent.problems.from_function import FromFunction
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.checkpoint import checkpoints, latest_epoch
from metadescent.runs.log import read_metrics
from metadescent.runs.loggers.base import Logger
from metadescent.runs.plan import Plan, plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import NonFiniteError, train

NAME, PROBLEM = "quadratic(dimension=2)", Quadratic(dimension=2)
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=4,
    episodes=2,
    meta_rate=0.03,
    average=0.5,
    validation_problems=2,
    decay="constant",  # so that runs of another length have the same programs
)
PLAN = plan_of(RECIPE)
SHORT = plan_of(replace(RECIPE, epochs=2))


@pytest.fixture(scope="module", autouse=True)
def _compiled(trained: Callable) -> None:
    trained(RECIPE)


class Killed(BaseException):
    """What no code catches."""


class Recorder(Logger):
    """It notes the calls, and keeps a book of all epochs as a service does."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.book: list[Any] = []

    def begin(self, folder, config, earlier):
        self.calls.append(("begin", folder, config["problem"], len(earlier)))
        self.book = [*earlier]

    def log(self, metrics):
        self.calls.append(metrics["epoch"])
        self.book.append(metrics)

    def end(self, outcome):
        self.calls.append(outcome)


class Failing(Recorder):
    """It loses its network in the second epoch that it is told of."""

    def log(self, metrics):
        super().log(metrics)
        if len(self.calls) == 3:
            raise ConnectionError("no network")


def run(folder: Path, *loggers: Logger, plan: Plan = PLAN, **words: Any) -> list[Any]:
    return list(train(folder, PROBLEM, NAME, plan, loggers=loggers, **words))


def without_clock(lines: list[Any]) -> list[Any]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_it_is_told_of_begin_every_epoch_and_end(tmp_path: Path) -> None:
    recorder = Recorder()
    run(tmp_path, recorder)
    assert recorder.calls == [("begin", tmp_path, NAME, 0), 1, 2, 3, 4, "finished"]
    assert recorder.book == read_metrics(tmp_path)


def test_an_epoch_is_logged_once_it_is_saved_and_before_it_is_yielded(tmp_path: Path) -> None:
    class Looker(Recorder):
        def log(self, metrics):
            super().log(metrics)
            assert latest_epoch(tmp_path / "checkpoints") == metrics["epoch"]
            assert read_metrics(tmp_path)[-1] == metrics

    looker = Looker()
    for state, _ in train(tmp_path, PROBLEM, NAME, PLAN, loggers=[looker], warn=pytest.fail):
        assert looker.calls[-1] == int(state.epoch)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_write_and_resumed_each_epoch_is_logged_once(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for writes in itertools.count():
        folder, first, second = tmp_path / str(writes), Recorder(), Recorder()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed_at(writes, moment, folder))
            try:
                run(folder, first, plan=SHORT)
                break
            except Killed:
                pass
        run(folder, second, plan=SHORT, resume=True)
        assert second.book == read_metrics(folder)
        assert [line["epoch"] for line in second.book] == [1, 2]
        begun, *epochs, outcome = second.calls
        assert epochs == list(range(begun[-1] + 1, 3))
        assert outcome == "finished"
        # No epoch was logged that is trained again.
        assert not {call for call in first.calls if isinstance(call, int)} & {*epochs}
    assert writes > 1 + 2 * 2


def killed_at(writes: int, moment: str, folder: Path) -> Callable[..., None]:
    """os.replace, until so many files of the folder have been written."""
    replace_, count = os.replace, itertools.count()

    def replace_or_die(source: Any, target: Any) -> None:
        last = folder in Path(target).parents and next(count) == writes
        if not (last and moment == "before"):
            replace_(source, target)
        if last:
            raise Killed

    return replace_or_die


def test_an_epoch_whose_checkpoint_was_damaged_is_logged_again(tmp_path: Path) -> None:
    run(tmp_path, Recorder())
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    recorder = Recorder()
    with pytest.warns(UserWarning, match="truncated"):
        run(tmp_path, recorder, resume=True)
    assert recorder.calls == [("begin", tmp_path, NAME, 3), 4, "finished"]
    assert recorder.book == read_metrics(tmp_path)


def test_a_logger_that_fails_costs_nothing_but_itself(tmp_path: Path, trained: Callable) -> None:
    failing, recorder = Failing(), Recorder()
    with pytest.warns(UserWarning, match="ConnectionError: no network") as caught:
        run(tmp_path, failing, recorder)
    assert len(caught) == 1
    assert failing.calls[1:] == [1, 2]
    assert recorder.calls[1:] == [1, 2, 3, 4, "finished"]
    assert without_clock(read_metrics(tmp_path)) == without_clock(read_metrics(trained(RECIPE)[0]))


def test_a_finished_run_is_told_of_whole(tmp_path: Path) -> None:
    run(tmp_path)
    recorder = Recorder()
    assert run(tmp_path, recorder, resume=True) == []
    assert recorder.calls == [("begin", tmp_path, NAME, 4), "finished"]
    assert recorder.book == read_metrics(tmp_path)


@pytest.mark.parametrize(("epochs", "outcome"), [(1, "stopped"), (4, "finished")])
def test_the_outcome_of_a_run_that_is_closed(epochs: int, outcome: str, tmp_path: Path) -> None:
    recorder = Recorder()
    with contextlib.closing(train(tmp_path, PROBLEM, NAME, PLAN, loggers=[recorder])) as epoch_by:
        for _ in range(epochs):
            next(epoch_by)
    assert recorder.calls[-2:] == [epochs, outcome]


def test_a_run_whose_minutes_are_over_is_stopped(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    run(tmp_path, first, minutes=1e-9)
    assert first.calls[1:] == [1, "stopped"]
    run(tmp_path, second, minutes=1e-9, resume=True)
    assert second.calls == [("begin", tmp_path, NAME, 1), "stopped"]


def test_a_run_that_ends_by_an_error_has_failed(tmp_path: Path) -> None:
    broken = FromFunction(
        lambda theta, key: jnp.sum(theta**2) * jnp.where(jnp.all(theta == 1), 1.0, jnp.nan),
        lambda key: jnp.ones(2),
    )
    recorder = Recorder()
    with pytest.raises(NonFiniteError):
        list(train(tmp_path, broken, "x", PLAN, loggers=[recorder]))
    assert recorder.calls[1:] == ["failed"]


def test_what_cannot_start_tells_no_logger(tmp_path: Path, sentence: Callable) -> None:
    recorder = Recorder()
    other = plan_of(replace(RECIPE, meta_rate=0.1))
    run(tmp_path / "r")
    sentence(next, train(tmp_path / "r", PROBLEM, NAME, other, resume=True, loggers=[recorder]))
    file = tmp_path / "s"
    file.write_text("")
    sentence(next, train(file, PROBLEM, NAME, PLAN, loggers=[recorder]))
    assert recorder.calls == []


MINE = """
from metadescent.runs import Logger
class Mine(Logger):
    def begin(self, folder, config, earlier):
        self.path = folder / "mine.txt"
        self.path.write_text("".join(f"{line['epoch']}\\n" for line in earlier))
    def log(self, metrics):
        with open(self.path, "a") as file:
            print(metrics["epoch"], file=file)
    def end(self, outcome):
        with open(self.path, "a") as file:
            print(outcome, file=file)
class Offline(Mine):
    def log(self, metrics):
        raise OSError("no network")
"""


@pytest.fixture
def words(metadescent: Callable, flags_of: Callable) -> list[str]:
    """What trains in a folder r, where there is a file of one's own."""
    Path("mine.py").write_text(MINE, encoding="utf-8")
    return ["train", NAME, "--out", "r", *flags_of(RECIPE)]


def as_numbers(folder: Path) -> list[dict[str, float | None]]:
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) if v else None for k, v in row.items()} for row in rows]


def check_table(folder: Path) -> None:
    """Check that the numbers of metrics.csv are those of metrics.jsonl."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line, row in zip(lines, as_numbers(folder), strict=True):
        for k, norm in enumerate(line.pop("gradient_norms"), 1):
            line[f"gradient_norms/{k}"] = norm
        assert row == line
        assert not any(isinstance(x, float) and math.isnan(x) for x in row.values())


def test_train_logs_to_what_is_named(words: list[str], metadescent: Callable) -> None:
    pytest.importorskip("tensorboardX")
    status, _, said = metadescent(*words, "--log", "csv,tensorboard,mine.py:Mine")
    assert status == 0, said
    check_table(Path("r"))
    assert len([*Path("r", "tensorboard").iterdir()]) == 1
    said = Path("r", "mine.txt").read_text(encoding="utf-8")
    assert said.split() == ["1", "2", "3", "4", "finished"]


def test_a_run_is_gone_on_with_and_a_logger_that_fails_is_said(
    words: list[str], metadescent: Callable
) -> None:
    assert metadescent(*words, "--minutes", "1e-6")[0] == 0
    assert not Path("r", "metrics.csv").exists()
    resumed = metadescent("train", "--resume", "r", "--log", "mine.py:Offline,csv")
    assert resumed[0] == 0, resumed[2]
    assert resumed[2].count("Warning: the logger Offline failed in its log") == 1
    assert len(as_numbers(Path("r"))) == 4
    check_table(Path("r"))


def test_how_to_go_on_names_the_loggers(words: list[str]) -> None:
    command = cli._parse([*words, "--log", "csv,wandb(project='a b')"])
    assert isinstance(command, Train)
    program, verb, flag, folder, *more = shlex.split(command.resumption)
    assert (program, verb, flag, folder) == ("metadescent", "train", "--resume", "r")
    assert more == ["--log", command.log]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("cvs", "there is no logger named 'cvs'"),
        ("csv,mine.py:Yours", "mine.py has no Logger named 'Yours'"),
        ("csv(x=1)", "csv has no option 'x'"),
        ("csv,wandb", "the logger wandb needs wandb, which cannot be imported"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--seeds", "2"), ("--curriculum", "4,8")])
def test_a_logger_that_is_not_there_is_said_before_a_run_begins(
    log: str,
    reason: str,
    more: tuple[str, ...],
    words: list[str],
    metadescent: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    status, out, said = metadescent(*words, *more, "--log", log)
    assert (status, out) == (2, "")
    assert said.startswith(f"metadescent: {reason}")
    assert not Path("r").exists()


def test_each_seed_is_logged_in_its_folder(words: list[str], metadescent: Callable) -> None:
    words += ["--seeds", "2", "--log", "csv,mine.py:Mine"]
    status, _, said = metadescent(*words)
    assert status == 0, said
    for seed in (0, 1):
        check_table(Path("r", f"seed-{seed}"))
        assert Path("r", f"seed-{seed}", "mine.txt").exists()
    results = [path.read_text(encoding="utf-8") for path in Path("r").glob("*/result.json")]
    assert len(results) == 2
    # Whether it was logged does not make it another task.
    assert not any("mine" in result for result in results)


@pytest.mark.slow
def test_each_stage_is_logged_in_its_folder(words: list[str], metadescent: Callable) -> None:
    status, _, said = metadescent(*words, "--log", "csv", "--curriculum", "4,8")
    assert status == 0, said
    for steps in (4, 8):
        check_table(Path("r", f"steps-{steps}"))
    assert not Path("r", "metrics.csv").exists()


@pytest.mark.slow
def test_the_trials_of_a_search_are_not_logged(words: list[str], metadescent: Callable) -> None:
    status, _, said = metadescent(*words, "--log", "csv", "--search", "2")
    assert status == 0, said
    check_table(Path("r"))
    assert [path.parent for path in Path("r").rglob("metrics.csv")] == [Path("r")]
