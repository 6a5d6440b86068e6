"""NaN and infinity while meta-training: what was asked for is done, counted, and never silent."""

import importlib.util
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._tree import is_finite
from metadescent.meta.schedule import OnNonfinite, Schedule
from metadescent.problems.base import Optimizee, Problem
from metadescent.runs.log import read_metrics
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import train

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


def _faults() -> ModuleType:
    """The faults are those of `make torture`."""
    path = Path(__file__).resolve().parents[2] / "tools" / "nonfinite_faults.py"
    spec = importlib.util.spec_from_file_location("nonfinite_faults", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = _faults()
FINE, NAN_LOSS, INFINITE_LOSS, NAN_GRADIENT, HUGE_GRADIENT, INFINITE_GRADIENT = range(6)
FAULTS = range(1, 6)


def run(folder: Path, fault: int, policy: OnNonfinite, **more: Any) -> Any:
    plan = plan_of(replace(RECIPE, on_nonfinite=policy, seed=17))
    return train(folder, faults.problem_with(fault, 0.1), "x", plan, **more)


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile once what all of these runs are: what is not finite is drawn, not compiled."""
    for policy in get_args(OnNonfinite):
        next(run(tmp_path_factory.mktemp("compiled"), FINE, policy))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("policy", ["skip", "restart-from-best"])
def test_a_run_goes_on_and_says_how_often(policy: OnNonfinite, fault: int, tmp_path: Path) -> None:
    states = [state for state, _ in run(tmp_path, fault, policy)]
    lines = read_metrics(tmp_path)
    assert len(states) == len(lines) == 4
    counts = [line["nonfinite"] for line in lines]
    assert sum(counts) > 0
    assert all(is_finite((state.m, state.average, state.meta_optimizer)) for state in states)
    restarted = [int(policy == "restart-from-best" and count > 0) for count in counts]
    assert [line["restarted"] for line in lines] == restarted
    for state, line in zip(states, lines, strict=True):
        assert np.isfinite(line["meta_loss"]) == (line["nonfinite"] < 4)
        assert int(state.best_epoch) == 0 or np.isfinite(state.best_loss)


def test_faults_are_what_they_are_called() -> None:
    theta, key = jnp.asarray([0.6, -0.8]), jax.random.key(0)
    seen = {}
    for fault in (FINE, *FAULTS):
        f = faults.problem_with(fault, 1.0).sample(key)
        loss, gradient = jax.value_and_grad(f.loss)(theta, key)
        seen[fault] = float(loss), *gradient.tolist()
    np.testing.assert_allclose(seen[FINE], (1.0, 1.2, -1.6), rtol=1e-6)
    assert np.isnan(seen[NAN_LOSS]).all()
    assert seen[INFINITE_LOSS] == (np.inf, np.inf, -np.inf)
    np.testing.assert_array_equal(np.isnan(seen[NAN_GRADIENT]), [False, True, True])
    large = faults.large(theta.dtype)
    np.testing.assert_allclose(seen[HUGE_GRADIENT], np.array([1, 1.2, -1.6]) * large, rtol=1e-6)
    np.testing.assert_allclose(seen[INFINITE_GRADIENT], (0.0, np.inf, np.inf), atol=1e-6)


def test_what_is_left_out_is_as_if_it_had_not_been(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    """Where every meta-step is left out, φ and the meta-optimizer's state are as they were."""
    plan = plan_of(replace(RECIPE, on_nonfinite="skip"))
    state, info = next(train(tmp_path, faults.problem_with(NAN_LOSS, 1.0), "x", plan))
    assert int(state.epoch) == 1
    assert_same_bits(state._replace(epoch=plan.initial_state.epoch), plan.initial_state)
    assert not np.isfinite(info.meta_losses).any()
    assert (int(state.best_epoch), float(state.best_loss)) == (0, np.inf)


def test_a_policy_that_is_not_needed_changes_nothing(
    tmp_path: Path, assert_same_bits: Callable, assert_close: Callable
) -> None:
    # Of 64 bits XLA rounds the last one otherwise in another program.
    same = (
        partial(assert_close, rtol=1e-12, atol=0) if jnp.zeros(0).itemsize > 4 else assert_same_bits
    )
    ends = []
    for policy in ("stop", "skip", "restart-from-best"):
        *_, (state, _) = run(tmp_path / policy, FINE, policy)
        ends.append((state.m, state.average, state.best))
    for other in ends[1:]:
        same(jax.tree.leaves(other), jax.tree.leaves(ends[0]))


def test_stopped_and_resumed_it_goes_back_to_the_same_best(
    tmp_path: Path, assert_same_bits: Callable
) -> None:
    *_, (whole, _) = run(tmp_path / "whole", NAN_LOSS, "restart-from-best")
    for _ in itertools.islice(run(tmp_path / "two", NAN_LOSS, "restart-from-best"), 2):
        pass
    *_, (resumed, _) = run(tmp_path / "two", NAN_LOSS, "restart-from-best", resume=True)
    assert_same_bits(resumed, whole)


# A test has put the module where it is found, so that these are the problems of above.
PROBLEM = """
from nonfinite_faults import problem_with
def faulty():
    return problem_with({fault}, {share})
"""


@pytest.mark.parametrize(
    ("policy", "each", "done"),
    [
        ("skip", "and left out", "their updates of φ were left out"),
        ("restart-from-best", "; φ goes back to the best", "φ went back to the best so far after"),
    ],
)
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_train_says_what_was_not_finite_and_what_was_done(
    policy: str,
    each: str,
    done: str,
    share: float,
    metadescent: Callable,
    flags_of: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nonfinite_faults", faults)
    monkeypatch.setattr("metadescent.cli.console.SECONDS_BETWEEN_LINES", 0.0)
    (tmp_path / "faulty.py").write_text(PROBLEM.format(fault=NAN_LOSS, share=share))
    name = "faulty.py:faulty"
    flags = flags_of(replace(RECIPE, on_nonfinite=policy, seed=17), name)
    # Where each meta-step is struck, and so each validation, there is no best one to keep.
    status, out, said = metadescent("train", name, "--out", "run", *flags)
    assert status == (2 if share == 1.0 else 0)
    counts = [line["nonfinite"] for line in read_metrics(tmp_path / "run")]
    assert sum(counts) == (16 if share == 1.0 else max(1, sum(counts)))
    lines = [line for line in said.splitlines() if line.startswith("meta-train")]
    for line, count in zip(lines, counts, strict=True):
        assert ("not finite" in line) == (count > 0)
        if count:
            word = "meta-step" if count == 1 else "meta-steps"
            assert f", {count} {word} not finite" in line
            assert line.endswith(each)
    struck = sum(count > 0 for count in counts)
    where = f"{sum(counts)} of 16, in {struck} of 4 epochs; {done}"
    assert f"meta-steps that were not finite: {where}" in out


class Below(Optimizee):
    """log 0: a loss that is below all others and no number."""

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return jnp.log(0.0 * jnp.sum(jax.lax.stop_gradient(theta) ** 2))


class AlwaysBelow(Problem):
    def sample(self, key: jax.Array) -> Below:
        del key
        return Below()


def test_validation_never_picks_what_is_not_finite(tmp_path: Path) -> None:
    recipe = replace(RECIPE, on_nonfinite="skip", optimizer="lstm(layers=(), p=None)")
    state, info = next(train(tmp_path, AlwaysBelow(), "x", plan_of(recipe)))
    assert float(info.validation_loss) == -np.inf
    assert int(state.best_epoch) == 0
    assert not (tmp_path / "optimizer.safetensors").exists()


def test_the_flag_is_one_of_three(metadescent: Callable) -> None:
    status, _, said = metadescent("train", "quadratic", "--on-nonfinite", "ignore")
    assert status == 2
    assert "restart-from-best" in said


def test_the_default_is_to_stop() -> None:
    assert (Recipe().on_nonfinite, Schedule().on_nonfinite) == ("stop", "stop")
