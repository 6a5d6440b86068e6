"""A run survives: stopped anywhere and resumed, it is the run that was never stopped."""

import errno
import itertools
import json
import os
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
from metadescent.registry import make_optimizer
from metadescent.runs import folder as runs
from metadescent.runs.checkpoint import checkpoints
from metadescent.runs.recipe import Recipe
from metadescent.runs.search import trials
from metadescent.runs.train import NonFiniteError, train
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


class Killed(BaseException):
    """What no code catches."""


def run(folder: Path, recipe: Recipe = RECIPE, *, resume: bool = False) -> list[Any]:
    return list(train(folder, PROBLEM, NAME, recipe, resume=resume))


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
            {k: v for k, v in line.items() if k != "seconds"} for line in metrics_of(folder)
        ],
        "checkpoints": {path.name: path.read_bytes() for path in newest},
    }


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("unbroken")
    run(folder)
    return left_by(folder)


def test_a_run_leaves_its_configuration_metrics_two_checkpoints_and_the_best(
    tmp_path: Path,
) -> None:
    run(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        ".lock",
        "checkpoints",
        "checkpoints/epoch-000003.safetensors",
        "checkpoints/epoch-000004.safetensors",
        "config.json",
        "metrics.jsonl",
        "optimizer.safetensors",
    ]
    assert [line["epoch"] for line in metrics_of(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 4])
def test_stopped_between_epochs_and_resumed_is_unbroken(
    epochs: int, tmp_path: Path, unbroken: dict[str, Any]
) -> None:
    for _ in itertools.islice(train(tmp_path, PROBLEM, NAME, RECIPE), epochs):
        pass
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


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    run(tmp_path)
    assert run(tmp_path, resume=True) == []
    assert left_by(tmp_path) == unbroken
    assert int(runs.finished_state(tmp_path, RECIPE).epoch) == 4


def test_a_damaged_checkpoint_costs_one_epoch(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    run(tmp_path)
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.warns(UserWarning, match=r"000004.* is truncated .* going on from .* of epoch 3"):
        assert len(run(tmp_path, resume=True)) == 1
    assert left_by(tmp_path) == unbroken


def test_the_same_seed_is_the_same_run_and_another_is_not(
    tmp_path: Path, unbroken: dict[str, Any]
) -> None:
    run(tmp_path / "same")
    assert left_by(tmp_path / "same") == unbroken
    run(tmp_path / "other", replace(RECIPE, seed=1))
    assert left_by(tmp_path / "other")["φ"] != unbroken["φ"]


def test_the_best_by_validation_is_what_is_saved(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    states = [state for state, _ in run(tmp_path)]
    losses = [line["validation_loss"] for line in metrics_of(tmp_path)]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1
    saved = artifact.load(tmp_path / "optimizer.safetensors")
    assert_same_bits(saved, states[best].average)
    assert_same_bits(saved, runs.finished_state(tmp_path, RECIPE).best)
    card = artifact.read_card(tmp_path / "optimizer.safetensors")
    assert card["budget"]["epoch"] == best + 1
    assert card["budget"]["meta_steps"] == (best + 1) * 4
    assert card["validation"]["loss"] == pytest.approx(min(losses))
    assert (card["trained_on"], card["seed"]) == (NAME, 0)


def test_the_clock_goes_on_where_it_stood(tmp_path: Path) -> None:
    for _ in itertools.islice(train(tmp_path, PROBLEM, NAME, RECIPE), 2):
        pass
    lines = metrics_of(tmp_path)
    lines[-1]["seconds"] = 1000.0
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(tmp_path, resume=True)
    assert all(line["seconds"] >= 1000.0 for line in metrics_of(tmp_path)[1:])


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path, sentence: Callable) -> None:
    run(tmp_path)
    before = left_by(tmp_path)
    assert sentence(run, tmp_path) == (
        f"{tmp_path} already holds a run; go on with it by --resume or choose another folder"
    )
    assert left_by(tmp_path) == before


def test_a_run_is_resumed_with_its_own_configuration_only(
    tmp_path: Path, sentence: Callable
) -> None:
    run(tmp_path)
    before = left_by(tmp_path)
    other = replace(RECIPE, meta_rate=0.1)
    assert sentence(run, tmp_path, other, resume=True) == (
        f"{tmp_path} belongs to another configuration: its meta_rate is 0.03 and 0.1 was asked "
        "for; repeat the run's own flags or choose another folder"
    )
    on_another_problem = train(tmp_path, PROBLEM, "quadratic", RECIPE, resume=True)
    assert sentence(next, on_another_problem) == (
        f"{tmp_path} belongs to another configuration: its problem is 'quadratic(dimension=2)' "
        "and 'quadratic' was asked for; repeat the run's own flags or choose another folder"
    )
    assert left_by(tmp_path) == before


def test_a_run_from_before_a_choice_existed_is_resumed(
    tmp_path: Path, unbroken: dict[str, Any]
) -> None:
    for _ in itertools.islice(train(tmp_path, PROBLEM, NAME, RECIPE), 2):
        pass
    config = runs.read_config(tmp_path)
    assert config["recipe"].pop("coordinates") == Recipe().coordinates
    (tmp_path / "config.json").write_text(json.dumps(config))
    run(tmp_path, resume=True)
    assert left_by(tmp_path)["φ"] == unbroken["φ"]


def test_a_run_goes_on_from_the_optimizer_it_is_given(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    run(tmp_path / "first")
    run(tmp_path / "next", replace(RECIPE, init=str(tmp_path / "first"), meta_rate=0.0, seed=1))
    first, after = (
        artifact.load(tmp_path / name / "optimizer.safetensors") for name in ("first", "next")
    )
    assert_same_bits(after, first)


def test_a_run_goes_on_from_its_own_kind_only(tmp_path: Path, sentence: Callable) -> None:
    run(tmp_path / "first")
    first = str(tmp_path / "first")
    other = replace(RECIPE, init=first, optimizer="lstm(layers=(3,))")
    assert sentence(run, tmp_path / "next", other) == (
        f"{first} holds the optimizer {RECIPE.optimizer}, whose φ does not fit the recipe's "
        f'lstm(layers=(3,)); try --optimizer "{RECIPE.optimizer}"'
    )


def test_steps_that_do_not_count_move_nothing(tmp_path: Path) -> None:
    run(tmp_path, replace(RECIPE, epochs=1, weigh_from=RECIPE.unroll))
    norms = runs.read_metrics(tmp_path)[0]["gradient_norms"]
    assert norms[0] == 0.0
    assert all(norm > 0.0 for norm in norms[1:])
    assert len(norms) > 1


def test_what_does_not_shape_phi_may_change_from_run_to_run(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    run(tmp_path / "first")
    first = artifact.load(tmp_path / "first" / "optimizer.safetensors")
    other = replace(
        RECIPE, init=str(tmp_path / "first"), optimizer="lstm(layers=(2,), p=None, scale=0.5)"
    )
    m = runs.initial_optimizer(other)
    assert m.scale == 0.5
    assert_same_bits(jax.tree.leaves(m), jax.tree.leaves(first))


def test_every_learned_group_may_start_from_one_optimizer(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    run(tmp_path / "first")
    first = artifact.load(tmp_path / "first" / "optimizer.safetensors")
    groups = (
        f"a -> {RECIPE.optimizer} + b -> optax.sgd(learning_rate=0.1) + * -> {RECIPE.optimizer}"
    )
    m = runs.initial_optimizer(replace(RECIPE, init=str(tmp_path / "first"), optimizer=groups))
    assert m.takes == ("a", "b", "*")
    for group in (0, 2):
        assert_same_bits(jax.tree.leaves(m.rules[group]), jax.tree.leaves(first))


def test_the_first_rule_of_a_chain_may_start_from_an_optimizer(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    run(tmp_path / "first")
    first = artifact.load(tmp_path / "first" / "optimizer.safetensors")
    chain = f"* -> {RECIPE.optimizer} >> pace(corners=2)"
    recipe = replace(RECIPE, init=str(tmp_path / "first"), optimizer=chain)
    lstm, pace = runs.initial_optimizer(recipe).rules[0].rules
    assert_same_bits(jax.tree.leaves(lstm), jax.tree.leaves(first))
    assert pace.p.shape == (2,)


def test_a_damaged_configuration_is_said_to_be(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "config.json").write_text('{"problem": "quad')
    assert sentence(run, tmp_path, resume=True) == (
        f"{tmp_path} is not a run folder: its config.json is missing or damaged"
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"unroll": 3}, "not a multiple"),
        ({"form": "two-phase", "second_derivatives": True}, "try the form recompute"),
        ({"optimizer": "lstn"}, "did you mean 'lstm'?"),
        ({"optimizer": "lstm(layer=(2,))"}, "did you mean 'layers'?"),
    ],
)
def test_what_cannot_start_does_not_claim_the_folder(
    wrong: dict[str, Any], words: str, tmp_path: Path, sentence: Callable
) -> None:
    assert words in sentence(run, tmp_path, replace(RECIPE, **wrong))
    assert run(tmp_path)


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
        return Sometimes(jax.random.bernoulli(key, self.share))


# With this seed the first NaN is drawn neither in the first epoch nor at an epoch's beginning.
UNLUCKY = replace(RECIPE, seed=17)


def test_a_meta_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoint(
    tmp_path: Path,
) -> None:
    problem = SometimesNaN(0.1)
    epoch, meta_step = first_nan(problem)
    assert epoch > 1
    assert meta_step > 0
    with pytest.raises(NonFiniteError) as caught:
        list(train(tmp_path, problem, "x", UNLUCKY))
    assert str(caught.value) == (
        "the meta-loss or its gradient ceased to be finite (loss nan) at meta-step "
        f"{meta_step + 1} of epoch {epoch}; the checkpoint of epoch {epoch - 1} in {tmp_path} is "
        "kept; try --meta-rate 0.01, --clip 5 or --on-nonfinite skip in another folder"
    )
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    assert newest.name == f"epoch-{epoch - 1:06d}.safetensors"
    kept = runs.finished_state(tmp_path, UNLUCKY)
    assert int(kept.epoch) == epoch - 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))
    assert artifact.load(tmp_path / "optimizer.safetensors")


def first_nan(problem: Problem) -> tuple[int, int]:
    """The epoch and the meta-step in it where meta-training first meets NaN."""
    m_key, key = jax.random.split(jax.random.key(UNLUCKY.seed))
    run = meta_train(
        make_optimizer(UNLUCKY.optimizer, m_key),
        problem,
        runs.schedule_of(UNLUCKY),
        meta_optimizer=runs.meta_optimizer_of(UNLUCKY),
        key=key,
    )
    for state, info in run:
        broken = np.isnan(np.ravel(info.meta_losses))
        if broken.any():
            return int(state.epoch), int(broken.argmax())
    raise AssertionError("no NaN was drawn; try another seed")


def test_a_trial_that_is_not_finite_is_infinitely_bad(tmp_path: Path) -> None:
    assert runs.validate_trial(tmp_path, SometimesNaN(1.0), "x", RECIPE) == float("inf")


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


def test_trials_draw_their_meta_rates_from_the_seed_alone() -> None:
    first, again = (trials(Recipe(epochs=50, seed=3), 8) for _ in range(2))
    assert first == again
    rates = [trial.meta_rate for trial in first]
    assert len(set(rates)) == 8
    assert all(1e-4 <= rate <= 3e-2 for rate in rates)
    assert [replace(trial, meta_rate=3e-3, epochs=50) for trial in first] == 8 * [
        Recipe(epochs=50, seed=3)
    ]
    assert [trial.meta_rate for trial in trials(Recipe(seed=4), 8)] != rates
    # More trials only add to the first: a search that is made longer goes on.
    assert trials(Recipe(epochs=50, seed=3), 9)[:8] == first


def test_a_trial_gone_over_again_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = runs.validate_trial(tmp_path, PROBLEM, NAME, RECIPE)
    assert loss == min(line["validation_loss"] for line in metrics_of(tmp_path))
    monkeypatch.setattr(sys.modules["metadescent.meta.train"], "_train_epoch", None)
    assert runs.validate_trial(tmp_path, PROBLEM, NAME, RECIPE) == loss


def test_the_meta_rate_falls_along_half_a_cosine_to_zero() -> None:
    recipe = replace(RECIPE, epochs=4, meta_rate=2.0)
    found = [runs.meta_rate_at(recipe, epoch) for epoch in range(5)]
    np.testing.assert_allclose(found, 1 + np.cos(np.pi * np.arange(5) / 4), atol=1e-6)
    constant = replace(recipe, decay="constant")
    assert [runs.meta_rate_at(constant, epoch) for epoch in range(5)] == 5 * [2.0]


# Real processes, real signals.

FLAGS = [
    "--optimizer",
    "lstm(layers=(2,),p=None,scale=1.0)",
    "--steps",
    "4",
    "--unroll",
    "2",
    "--problems",
    "2",
    "--epochs",
    "400",
    "--episodes",
    "2",
    "--validation-problems",
    "2",
]


# Under some shells SIGINT is ignored from the start, and that is inherited.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent.cli import main
main()
"""


@contextmanager
def training(folder: Path, *more: str) -> Iterator[subprocess.Popen]:
    words = [sys.executable, "-c", PROGRAM, "train", NAME, "--out", str(folder), *FLAGS, *more]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def epochs_done(folder: Path) -> int:
    found = checkpoints(folder / "checkpoints")
    return int(found[-1].stem.removeprefix("epoch-")) if found else 0


def wait_until(reached: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert reached()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "stopped")],
)
def test_a_signal_stops_a_run_that_can_be_resumed(
    number: int, status: int, word: str, tmp_path: Path
) -> None:
    with training(tmp_path) as process:
        wait_until(lambda: epochs_done(tmp_path) >= 2, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status
    done = epochs_done(tmp_path)
    assert 2 <= done < 400
    assert said.splitlines()[-1] == (
        f"metadescent: {word} after epoch {done} of 400, which is saved in {tmp_path}; go on with "
        "train --resume"
    )
    assert "Traceback" not in said
    assert artifact.load(tmp_path / "optimizer.safetensors")
    config = runs.read_config(tmp_path)
    state = runs.finished_state(tmp_path, Recipe(**config["recipe"]))
    assert int(state.epoch) == epochs_done(tmp_path)


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_is_unbroken(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for more in ((), ("--resume",), ("--resume",)):
        begun = epochs_done(killed)
        with training(killed, *more) as process:
            wait_until(lambda begun=begun: epochs_done(killed) >= begun + 2, process)
            time.sleep(random.uniform(0, 0.05))
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL
    for folder, more in ((killed, ("--resume",)), (whole, ())):
        with training(folder, *more) as process:
            _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert left_by(killed) == left_by(whole)
