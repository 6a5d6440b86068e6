"""A run survives: stopped anywhere and resumed, it is the run that was never stopped."""

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.meta.train import meta_train
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.checkpoint import checkpoints, latest_epoch
from metadescent.runs.folder import read_config
from metadescent.runs.log import read_metrics
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import NonFiniteError, finished_state, train
from metadescent.zoo import file as artifact

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
)
PLAN = plan_of(RECIPE)


class Killed(BaseException):
    """What no code catches."""


def run(folder: Path, *, resume: bool = False) -> list[Any]:
    return list(train(folder, PROBLEM, NAME, PLAN, resume=resume))


def begin(folder: Path, epochs: int) -> None:
    """Train for some epochs, and stop."""
    for _ in itertools.islice(train(folder, PROBLEM, NAME, PLAN), epochs):
        pass


def left_by(folder: Path) -> dict[str, Any]:
    """All that a run leaves, except what a clock says."""
    card = artifact.read_card(folder / "optimizer.safetensors")
    card["budget"].pop("seconds")
    m = artifact.load(folder / "optimizer.safetensors")
    newest = checkpoints(folder / "checkpoints")[-2:]
    return {
        "config": (folder / "config.json").read_text(),
        "φ": [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(m)],
        "card": card,
        "metrics": [
            {k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder)
        ],
        "checkpoints": {path.name: path.read_bytes() for path in newest},
    }


@pytest.fixture(scope="module")
def whole(trained: Callable) -> Path:
    """The folder of a run that nothing befell."""
    return trained(RECIPE)[0]


@pytest.fixture(scope="module")
def unbroken(whole: Path) -> dict[str, Any]:
    return left_by(whole)


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    """The folder of such a run that may be written to."""
    return shutil.copytree(whole, tmp_path / "finished")


def test_a_run_leaves_its_configuration_metrics_two_checkpoints_and_the_best(whole: Path) -> None:
    assert sorted(str(path.relative_to(whole)) for path in whole.rglob("*")) == [
        ".lock",
        "checkpoints",
        "checkpoints/epoch-000003.safetensors",
        "checkpoints/epoch-000004.safetensors",
        "config.json",
        "metrics.jsonl",
        "optimizer.safetensors",
    ]
    assert [line["epoch"] for line in read_metrics(whole)] == [1, 2, 3, 4]


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 4])
def test_stopped_between_epochs_and_resumed_is_unbroken(
    epochs: int, tmp_path: Path, unbroken: dict[str, Any]
) -> None:
    begin(tmp_path, epochs)
    rest = run(tmp_path, resume=True)
    assert [int(state.epoch) for state, _ in rest] == list(range(epochs + 1, 5))
    assert left_by(tmp_path) == unbroken


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_write_and_resumed_is_unbroken(
    moment: str, tmp_path: Path, unbroken: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for writes in itertools.count():
        folder = tmp_path / str(writes)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed_at(writes, moment, folder))
            try:
                run(folder)
                break
            except Killed:
                pass
        run(folder, resume=True)
        assert left_by(folder) == unbroken
    # config.json; then, in each of four epochs, metrics and checkpoint; and the best of them.
    assert writes > 1 + 2 * 4


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


def test_a_finished_run_has_nothing_left_to_do(finished: Path, unbroken: dict[str, Any]) -> None:
    assert run(finished, resume=True) == []
    assert left_by(finished) == unbroken
    assert int(finished_state(finished, PLAN).epoch) == 4


def test_a_run_that_never_began_has_no_last_state(tmp_path: Path, sentence: Callable) -> None:
    assert sentence(finished_state, tmp_path, PLAN) == (
        f"{tmp_path} has no checkpoint; try more than 0 epochs"
    )


def test_a_damaged_checkpoint_costs_one_epoch(finished: Path, unbroken: dict[str, Any]) -> None:
    newest = checkpoints(finished / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.warns(UserWarning, match=r"000004.* is truncated .* going on from .* of epoch 3"):
        assert len(run(finished, resume=True)) == 1
    assert left_by(finished) == unbroken


def test_the_same_seed_is_the_same_run_and_another_is_not(
    tmp_path: Path, unbroken: dict[str, Any]
) -> None:
    run(tmp_path / "same")
    assert left_by(tmp_path / "same") == unbroken
    list(train(tmp_path / "other", PROBLEM, NAME, plan_of(replace(RECIPE, seed=1))))
    assert left_by(tmp_path / "other")["φ"] != unbroken["φ"]


def test_the_best_by_validation_is_what_is_saved(
    trained: Callable, assert_same_bits: Callable
) -> None:
    folder, yielded = trained(RECIPE)
    losses = [line["validation_loss"] for line in read_metrics(folder)]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1
    saved = artifact.load(folder / "optimizer.safetensors")
    assert_same_bits(saved, yielded[best][0].average)
    assert_same_bits(saved, finished_state(folder, PLAN).best)
    card = artifact.read_card(folder / "optimizer.safetensors")
    assert card["budget"]["epoch"] == best + 1
    assert card["budget"]["meta_steps"] == (best + 1) * 4
    assert card["validation"]["loss"] == pytest.approx(min(losses))
    assert (card["trained_on"], card["seed"]) == (NAME, 0)


def test_the_clock_goes_on_where_it_stood(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    lines = read_metrics(tmp_path)
    lines[-1]["seconds"] = 1000.0
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(tmp_path, resume=True)
    assert all(line["seconds"] >= 1000.0 for line in read_metrics(tmp_path)[1:])


def test_a_folder_with_a_run_is_not_overwritten(
    whole: Path, unbroken: dict[str, Any], sentence: Callable
) -> None:
    assert sentence(run, whole) == (
        f"{whole} already holds a run; go on with it by metadescent train --resume {whole} or "
        "choose another folder"
    )
    assert left_by(whole) == unbroken


def test_a_run_is_resumed_with_its_own_configuration_only(
    whole: Path, unbroken: dict[str, Any], sentence: Callable
) -> None:
    other = plan_of(replace(RECIPE, meta_rate=0.1))
    assert sentence(next, train(whole, PROBLEM, NAME, other, resume=True)) == (
        f"{whole} belongs to another configuration: its meta_rate is 0.03 and 0.1 was asked "
        f"for; metadescent train --resume {whole} goes on as it was begun, or choose another folder"
    )
    assert sentence(next, train(whole, PROBLEM, "quadratic", PLAN, resume=True)) == (
        f"{whole} belongs to another configuration: its problem is 'quadratic(dimension=2)' "
        f"and 'quadratic' was asked for; metadescent train --resume {whole} goes on as it was "
        "begun, or choose another folder"
    )
    assert left_by(whole) == unbroken


def test_a_run_from_before_a_choice_existed_is_resumed(
    tmp_path: Path, unbroken: dict[str, Any]
) -> None:
    begin(tmp_path, 2)
    config = read_config(tmp_path)
    assert config["recipe"].pop("coordinates") == Recipe().coordinates
    (tmp_path / "config.json").write_text(json.dumps(config))
    run(tmp_path, resume=True)
    assert left_by(tmp_path)["φ"] == unbroken["φ"]


@pytest.fixture(scope="module", params=["pes(std=0.1)", "imitation(rate=0.1)"])
def by_another_estimator(
    request: pytest.FixtureRequest, trained: Callable
) -> tuple[Recipe, tuple[Path, list[Any]]]:
    recipe = replace(RECIPE, estimator=request.param, optimizer="lstm(layers=(), p=None)")
    return recipe, trained(recipe)


def test_a_run_by_another_estimator_is_resumed_to_the_bit(
    by_another_estimator: tuple[Recipe, tuple[Path, list[Any]]],
    tmp_path: Path,
    assert_same_bits: Callable,
) -> None:
    recipe, (folder, yielded) = by_another_estimator
    next(train(tmp_path, PROBLEM, NAME, plan_of(recipe)))
    *_, (state, _) = train(tmp_path, PROBLEM, NAME, plan_of(recipe), resume=True)
    assert_same_bits(state, yielded[-1][0])
    assert read_config(folder)["recipe"]["estimator"] == recipe.estimator


def test_steps_that_do_not_count_move_nothing(tmp_path: Path) -> None:
    next(train(tmp_path, PROBLEM, NAME, plan_of(replace(RECIPE, weigh_from=RECIPE.unroll))))
    norms = read_metrics(tmp_path)[0]["gradient_norms"]
    assert norms[0] == 0.0
    assert all(norm > 0.0 for norm in norms[1:])
    assert len(norms) > 1


class Sometimes(Optimizee):
    """‖θ‖², or NaN throughout if it was drawn so."""

    broken: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return jnp.sum(theta**2) * jnp.where(self.broken, jnp.nan, 1.0)


class SometimesNaN(Problem):
    share: float

    def sample(self, key: jax.Array) -> Sometimes:
        return Sometimes(jax.random.bernoulli(key, np.float32(self.share)))


# With this seed the first NaN is drawn neither in the first epoch nor at an epoch's beginning.
UNLUCKY = plan_of(replace(RECIPE, seed=17))
BROKEN = SometimesNaN(0.1)


@pytest.fixture(scope="module")
def first_nan() -> tuple[int, int]:
    """The epoch and the meta-step in it where meta-training first meets NaN."""
    run = meta_train(
        UNLUCKY.m,
        BROKEN,
        UNLUCKY.recipe,
        meta_optimizer=UNLUCKY.meta_optimizer,
        key=UNLUCKY.key,
        estimator=UNLUCKY.estimator,
    )
    for state, info in run:
        nan = np.isnan(np.ravel(info.meta_losses))
        if nan.any():
            return int(state.epoch), int(nan.argmax())
    raise AssertionError("no NaN was drawn; try another seed")


def test_a_meta_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoint(
    tmp_path: Path, first_nan: tuple[int, int]
) -> None:
    epoch, meta_step = first_nan
    assert epoch > 1
    assert meta_step > 0
    with pytest.raises(NonFiniteError) as caught:
        list(train(tmp_path, BROKEN, "x", UNLUCKY))
    assert str(caught.value) == (
        "the meta-loss or its gradient ceased to be finite (loss nan) at meta-step "
        f"{meta_step + 1} of epoch {epoch}; the checkpoint of epoch {epoch - 1} in {tmp_path} is "
        "kept; try --meta-rate 0.01, --clip 5 or --on-nonfinite skip in another folder"
    )
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    assert newest.name == f"epoch-{epoch - 1:06d}.safetensors"
    kept = finished_state(tmp_path, UNLUCKY)
    assert int(kept.epoch) == epoch - 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))
    assert artifact.load(tmp_path / "optimizer.safetensors")


@pytest.mark.parametrize("writes", [0, 1, 6])
def test_on_a_full_disk_nothing_is_lost(
    writes: int,
    tmp_path: Path,
    unbroken: dict[str, Any],
    sentence: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after(writes))
        said = sentence(run, tmp_path)
    assert said.startswith(f"the disk is full: {tmp_path}")
    assert said.endswith(
        "bytes) was not written and what was there before is kept; "
        "free some room or choose another place"
    )
    assert not list(tmp_path.rglob("*.tmp"))
    run(tmp_path, resume=True)
    assert left_by(tmp_path) == unbroken


def full_after(writes: int) -> Callable[[int], None]:
    count = itertools.count()

    def fsync(descriptor: int) -> None:
        del descriptor
        if next(count) >= writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fsync


# Real processes. What signals that can be handled do, `test_signals.py` has.

LONG = replace(RECIPE, epochs=60)
# Under some shells SIGINT is ignored from the start, and that is inherited.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent.cli import main
main()
"""


@contextmanager
def training(folder: Path, *flags: str) -> Iterator[subprocess.Popen]:
    words = [sys.executable, "-c", PROGRAM, "train", NAME, "--out", str(folder), *flags]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(reached: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert reached()


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_is_unbroken(
    tmp_path: Path, trained: Callable, flags_of: Callable
) -> None:
    random, checkpoints_of = np.random.default_rng(0), tmp_path / "checkpoints"
    for more in ((), ("--resume",)):
        begun = latest_epoch(checkpoints_of)
        with training(tmp_path, *flags_of(LONG), *more) as process:
            wait_until(lambda begun=begun: latest_epoch(checkpoints_of) >= begun + 2, process)
            time.sleep(random.uniform(0, 0.05))
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert latest_epoch(checkpoints_of) < LONG.epochs
    list(train(tmp_path, PROBLEM, NAME, plan_of(LONG), resume=True))
    assert left_by(tmp_path) == left_by(trained(LONG)[0])
