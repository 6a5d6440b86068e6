"""A killed run goes on as if it had not been killed, from the newest file that can be read."""

import errno
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.meta.state import MetaState, initial_state
from metadescent.meta.train import meta_train
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.runs import training
from metadescent.runs.checkpoint import (
    KEEP,
    checkpoints,
    latest_epoch,
    load_checkpoint,
    save_checkpoint,
)
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

M = LSTM((2,), p=None, key=jax.random.key(0))
META_OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
LIKE = initial_state(M, META_OPTIMIZER)


def state(epoch: int) -> MetaState:
    """A state that differs from every other in each of its parts."""
    moved = jax.tree.map(lambda x: x + epoch if jnp.ndim(x) else x, LIKE)
    return moved._replace(epoch=jnp.asarray(epoch), best_loss=jnp.asarray(1.0 / (epoch + 1)))


def names(folder: Path) -> list[str]:
    return [path.name for path in checkpoints(folder)]


def test_what_is_loaded_is_what_was_saved_to_the_bit(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    path = save_checkpoint(tmp_path, state(7))
    assert path.name == "epoch-000007.safetensors"
    assert_same_bits(load_checkpoint(tmp_path, LIKE), state(7))


def test_the_state_before_the_first_epoch_can_be_saved_too(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    save_checkpoint(tmp_path, LIKE)
    assert_same_bits(load_checkpoint(tmp_path, LIKE), LIKE)


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_where_there_is_none_there_is_none(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    assert load_checkpoint(tmp_path / folder, LIKE) is None
    assert latest_epoch(tmp_path / folder) == 0


def test_the_newest_two_are_kept(tmp_path: Path, assert_same_bits: Callable) -> None:
    assert KEEP == 2
    for epoch in (8, 9, 10, 11):
        save_checkpoint(tmp_path, state(epoch))
    assert names(tmp_path) == ["epoch-000010.safetensors", "epoch-000011.safetensors"]
    assert_same_bits(load_checkpoint(tmp_path, LIKE), state(11))


def test_the_newest_is_the_one_of_the_highest_epoch(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    for epoch in (999_998, 999_999, 1_000_000):
        save_checkpoint(tmp_path, state(epoch))
    assert names(tmp_path) == ["epoch-999999.safetensors", "epoch-1000000.safetensors"]
    assert_same_bits(load_checkpoint(tmp_path, LIKE), state(1_000_000))
    assert latest_epoch(tmp_path) == 1_000_000


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    others = {"notes.txt", "epoch-7", "epoch-best.safetensors", ".epoch-000001.safetensors.1.tmp"}
    for name in others:
        (tmp_path / name).write_text("mine")
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, state(epoch))
    assert others <= {path.name for path in tmp_path.iterdir()}
    assert names(tmp_path) == ["epoch-000002.safetensors", "epoch-000003.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "zeros", "cut"])
def test_where_the_newest_is_damaged_the_one_before_is_used(
    tmp_path: Path, damage: bytes | None, assert_same_bits: Callable
) -> None:
    save_checkpoint(tmp_path, state(1))
    newest = save_checkpoint(tmp_path, state(2))
    newest.write_bytes(newest.read_bytes()[:-10] if damage is None else damage)
    said: list[str] = []
    assert_same_bits(load_checkpoint(tmp_path, LIKE, warn=said.append), state(1))
    assert len(said) == 1
    assert said[0].startswith(f"{newest} is ")
    assert said[0].endswith("; going on from the one before, of epoch 1")


def test_one_flipped_bit_is_seen_wherever_it_is(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(1))
    newest = save_checkpoint(tmp_path, state(2))
    whole, said = newest.read_bytes(), []
    random = np.random.default_rng(0)
    places = [0, 9, len(whole) - 1, *random.integers(0, len(whole), 30).tolist()]
    for place in places:
        flipped = bytes([whole[place] ^ 1 << int(random.integers(8))])
        newest.write_bytes(whole[:place] + flipped + whole[place + 1 :])
        loaded = load_checkpoint(tmp_path, LIKE, warn=said.append)
        assert loaded is not None
        assert int(loaded.epoch) == 1, place
    assert len(said) == len(places)


def test_where_none_can_be_read_the_newest_is_named(tmp_path: Path, sentence: Callable) -> None:
    for epoch in (1, 2):
        save_checkpoint(tmp_path, state(epoch)).write_bytes(b"")
    assert sentence(load_checkpoint, tmp_path, LIKE) == (
        f"{tmp_path / 'epoch-000002.safetensors'} is not a file that metadescent wrote; "
        "it must be a .safetensors of an optimizer"
    )


def test_another_optimizers_checkpoint_is_refused(tmp_path: Path, sentence: Callable) -> None:
    save_checkpoint(tmp_path, state(1))
    other = initial_state(LSTM((3,), p=None, key=jax.random.key(0)), META_OPTIMIZER)
    phi = LIKE.m.output.weight.dtype
    assert sentence(load_checkpoint, tmp_path, other) == (
        f"leaf 'm/cells/0/weight_ih' of {tmp_path / 'epoch-000001.safetensors'} is {phi}[8, 1] "
        f"where {phi}[12, 1] is expected; it was saved from something else"
    )


def test_a_full_disk_keeps_the_checkpoints_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Callable, assert_same_bits: Callable
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for epoch in (1, 2):
        save_checkpoint(tmp_path, state(epoch))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert sentence(save_checkpoint, tmp_path, state(3)).startswith("the disk is full: ")
    assert names(tmp_path) == ["epoch-000001.safetensors", "epoch-000002.safetensors"]
    assert_same_bits(load_checkpoint(tmp_path, LIKE), state(2))


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


def test_a_run_killed_and_resumed_is_the_same_to_the_bit(
    trained: Callable, tmp_path: Path, assert_same_bits: Callable
) -> None:
    plan, (_, unbroken) = plan_of(RECIPE), trained(RECIPE)
    save_checkpoint(tmp_path, unbroken[0][0])
    resumed = meta_train(
        plan.m,
        Quadratic(dimension=2),
        RECIPE,
        meta_optimizer=plan.meta_optimizer,
        key=plan.key,
        estimator=plan.estimator,
        weights=plan.weights,
        state=load_checkpoint(tmp_path, plan.initial_state),
    )
    assert_same_bits(list(resumed), unbroken[1:])


@pytest.mark.parametrize(("share", "status"), [(0.019, 0), (0.021, 1)])
def test_the_benchmark_fails_where_saving_costs_too_much(
    share: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    benchmark = importlib.import_module("checkpoints")
    for name in benchmark.SAVING.values():  # which it replaces
        monkeypatch.setattr(training, name, getattr(training, name))
    monkeypatch.setattr(benchmark, "measure", lambda *_: (["x", *4 * ["1"], "?"], share))
    monkeypatch.setattr(sys, "argv", ["checkpoints.py"])
    with pytest.raises(SystemExit) as stop:
        benchmark.main()
    assert int(stop.value.code or 0) == status
