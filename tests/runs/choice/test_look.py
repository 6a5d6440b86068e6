"""What follows from a look, what is tried then, and what a journal keeps of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._levels import parse_levels
from metadescent.descent.levels import relative_time
from metadescent.registry import make_optimizer
from metadescent.runs.choice.candidate import candidates, unroll_of
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.look import Look, check_tasks, look_of
from metadescent.runs.choice.sizes import FLOATS, HELD, LEAST, RUNS, sizes_for
from metadescent.runs.plan import plan_of

STEPS = 100
T = np.arange(1, STEPS + 1)
MEANS = {
    "sgd": 1.0 + 9.0 * np.exp(-0.02 * T),
    "nag": 1.0 + 9.0 * np.exp(-0.05 * T),
    "rmsprop": np.full(STEPS, 5.0),
    "adam": np.full(STEPS, np.inf),
    "lbfgs": 0.5 + 9.0 * np.exp(-0.3 * T),
}
RATES = {"sgd": 0.1, "nag": 0.03, "rmsprop": 0.01, "adam": 0.02, "lbfgs": 1.0}
ASKED = {"problem": "p", "steps": STEPS, "minutes": 1.0, "seed": 0}


def seen(coordinates: int = 5, minibatches: bool = False, step: float = 1e-6) -> Look:
    means = {name: mean for name, mean in MEANS.items() if not (minibatches and name == "lbfgs")}
    sizes = sizes_for(coordinates, step, steps=STEPS, seconds=60.0)
    return look_of(means, RATES, sizes, minibatches)


def test_the_best_takes_one_gradient_a_step_and_the_floor_is_of_all() -> None:
    assert seen().best == "nag"
    assert seen().floor == pytest.approx(0.5, abs=1e-4)
    assert seen().delta == pytest.approx(MEANS["nag"][-10:].mean() - 0.5, abs=1e-4)
    assert seen(minibatches=True).floor == seen(minibatches=True).ends["nag"]


def test_the_best_itself_takes_its_own_time_and_whoever_is_twice_as_fast_half_of_it() -> None:
    levels = seen(minibatches=True).levels
    assert float(relative_time(MEANS["nag"], levels)) == pytest.approx(1.0, rel=0.05)
    twice = 1.0 + 9.0 * np.exp(-0.1 * T)
    assert float(relative_time(twice, levels)) == pytest.approx(0.5, rel=0.05)
    # Where L-BFGS ends lower that is a level too, which the best never gets to.
    assert len(seen().levels) == len(levels) + 1
    assert float(relative_time(MEANS["nag"], seen().levels)) > 1.2
    assert float(relative_time(MEANS["lbfgs"], seen().levels)) < 0.5


def test_a_scale_of_f_scales_levels_and_nothing_else() -> None:
    scaled = look_of({name: 1e3 * mean for name, mean in MEANS.items()}, RATES, seen().sizes, False)
    for level, other in zip(seen().levels, scaled.levels, strict=True):
        assert other == pytest.approx((1e3 * level.loss, level.step, level.weight))
    assert scaled.delta == pytest.approx(1e3 * seen().delta)


@pytest.mark.parametrize("minibatches", [False, True])
@pytest.mark.parametrize("size", [1, 30, 5000])
def test_what_is_tried_can_be_planned_and_is_validated_alike(size: int, minibatches: bool) -> None:
    tried = candidates(seen(size, minibatches), steps=STEPS, seed=3, seconds=600.0)
    assert len({candidate.name for candidate in tried}) == len(tried) >= 3
    for candidate in tried:
        for start in candidate.starts:
            recipe = replace(candidate.recipe, optimizer=start)
            plan = plan_of(recipe)
            assert (recipe.seed, recipe.validation_problems) == (
                3,
                tried[0].recipe.validation_problems,
            )
            np.testing.assert_allclose(
                np.asarray(parse_levels(recipe.levels)),
                np.asarray(seen(size, minibatches).levels),
                rtol=1e-4,
            )
            assert plan.initial_state.epoch == 0
    assert ("quasi-newton" in {candidate.name for candidate in tried}) is not minibatches


def test_the_paced_one_begins_as_the_best_baseline() -> None:
    (paced,) = (
        c for c in candidates(seen(), steps=STEPS, seed=0, seconds=60.0) if "paced" in c.name
    )
    m = make_optimizer(paced.starts[0], jax.random.key(0))
    g, _ = m.update(jnp.ones(3), m.init(jnp.zeros(3)))
    # Nesterov's first step, but for the draw of φ.
    np.testing.assert_allclose(g, -1.9 * RATES["nag"] * np.ones(3), rtol=0.05)


@pytest.mark.parametrize(
    ("steps", "unroll"), [(100, 20), (1000, 20), (30, 15), (7, 7), (97, 97), (1, 1), (64, 16)]
)
def test_the_unroll_divides_the_horizon(steps: int, unroll: int) -> None:
    assert unroll_of(steps) == unroll


def test_a_journal_is_read_as_it_was_written(tmp_path: Path, sentence: Callable) -> None:
    journal = Journal(tmp_path, ASKED)
    assert (journal.look(), journal.chosen(), journal.trials(), journal.seconds) == (
        None,
        None,
        [],
        0,
    )
    results = [Result("a", "lstm", 9.0, best, 3, 0.5, 4.0) for best in (0.7, 0.6)]
    recipe = candidates(seen(), steps=STEPS, seed=0, seconds=60.0)[0].recipe
    journal.see(seen())
    journal.put("trials", {f"a × {i}": r._asdict() for i, r in enumerate(results)})
    journal.spend(1.5)
    journal.spend(2.0)
    journal.choose("lstm", recipe)
    again = Journal(tmp_path, ASKED)
    assert again.look() == seen()
    # Of each candidate the longest trial.
    assert again.trials() == results[1:]
    assert (again.chosen(), again.seconds) == (recipe, 3.5)
    assert sentence(Journal, tmp_path, {**ASKED, "minutes": 2.0}) == (
        f"{tmp_path} was begun with minutes 1.0 and 2.0 was asked for; choose another folder"
    )


BEGUN = f'{{"asked": {json.dumps(ASKED)}, '


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"asked": 1}', "{" * 10_000, "\x00", '{"asked": {"problem": "p"}}'),
        *(f'{BEGUN}"{name}": 5}}' for name in ("recipe", "starts", "kept", "best", "sessions")),
        *(f'{BEGUN}"{name}": "x"}}' for name in ("origin", "seconds", "look", "trials")),
        BEGUN + '"trial_plan": {}}',
        BEGUN + '"starts": {"lstm": "x"}}',
        BEGUN + '"kept": ["lstm"]}',
    ],
)
def test_a_damaged_journal_is_named(text: str, tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "choice.json").write_text(text)
    assert sentence(Journal, tmp_path, ASKED) == (
        f"{tmp_path / 'choice.json'} is damaged; restore it or begin in another folder"
    )
    assert (tmp_path / "choice.json").read_text() == text


def test_another_f_than_it_was_begun_with_is_refused(tmp_path: Path, sentence: Callable) -> None:
    origin = {"settings": {}, "versions": {}, "f": "a", "data": "b", "folder": "c"}
    Journal(tmp_path, ASKED).begin(origin, pytest.fail)
    Journal(tmp_path, ASKED).see(seen())
    Journal(tmp_path, ASKED).begin({**origin, "folder": "d"}, pytest.fail)
    assert sentence(Journal(tmp_path, ASKED).begin, {**origin, "f": "x"}, pytest.fail) == (
        f"f is another function than the one that {tmp_path} was begun with; restore what was, or "
        f"go on in another folder by --init {tmp_path}"
    )


def test_a_baseline_that_diverged_is_none_in_json(tmp_path: Path) -> None:
    Journal(tmp_path, ASKED).see(seen())
    kept: Any = json.loads((tmp_path / "choice.json").read_text())
    assert kept["look"]["ends"]["adam"] is None
    assert seen().ends["adam"] == np.inf


@pytest.mark.parametrize("step", [1e-8, 1e-5, 1e-2])
@pytest.mark.parametrize("coordinates", [1, 300, 200_000])
def test_what_is_tried_fits_the_time_and_the_memory(coordinates: int, step: float) -> None:
    sizes = sizes_for(coordinates, step, steps=STEPS, seconds=600.0)
    assert LEAST <= sizes.looked_at <= 64
    # A quarter of the time, but for the least.
    runs = sizes.looked_at * RUNS * STEPS * step
    assert sizes.looked_at == LEAST or runs <= 150.0
    assert LEAST <= sizes.validated <= 256
    # What is compared once is affordable where all epochs' validations are.
    assert sizes.validated <= sizes.paired <= 1024
    assert sizes.validated == 256 or sizes.paired == sizes.validated
    # Within a fiftieth of the time, and what may be held, but for the least.
    assert sizes.validated in range(LEAST, max(LEAST, sizes.most(12.0, STEPS)) + 1)
    assert sizes.validated == LEAST or sizes.validated * HELD * coordinates <= FLOATS
    family = seen()._replace(sizes=sizes)
    tried = {c.name: c.recipe for c in candidates(family, steps=STEPS, seed=0, seconds=600.0)}
    for name, recipe in tried.items():
        problems, tries = recipe.problems, 17 if "es(" in recipe.estimator else 1
        held = problems * tries * coordinates * (10 if "paced" in name else 70)
        assert problems == 1 or held <= FLOATS
        assert problems == 1 or problems * tries * STEPS * step <= 60.0
    # Where runs are dear or large, nothing is done through many of them at a time.
    if coordinates == 200_000:
        assert [*tried] == ["start"]
    else:
        evolved = tried.keys() - {"lstm", "normalized"}
        assert len(evolved) == (2 if step < 1e-3 else 0)


def test_a_start_that_is_not_finite_is_no_measure() -> None:
    means = {name: mean.copy() for name, mean in MEANS.items()}
    for mean in means.values():
        mean[0] = np.inf
    looked = look_of(means, RATES, seen().sizes, False)
    assert np.isfinite(looked.delta)
    assert looked.delta > 0


def test_a_constant_beside_f_makes_levels_no_coarser() -> None:
    lifted = look_of({name: 1e4 + mean for name, mean in MEANS.items()}, RATES, seen().sizes, False)
    twice = 1.0 + 9.0 * np.exp(-0.1 * T)
    for curve in (MEANS["nag"], twice):
        assert float(relative_time(1e4 + curve, lifted.levels)) == pytest.approx(
            float(relative_time(curve, seen().levels)), rel=0.1
        )


@pytest.mark.parametrize("slope", [1e-12, 1e-8, 1.0, 1e12])
def test_rules_of_unit_steps_begin_with_steps_as_long_as_adams(slope: float) -> None:
    looked = look_of(MEANS, RATES, seen().sizes, False, slope)
    first = RATES["adam"] * slope / (slope + 1e-8)
    assert looked.scale == pytest.approx(first)
    (normalized,) = (
        c for c in candidates(looked, steps=STEPS, seed=0, seconds=60.0) if c.name == "normalized"
    )
    assert f"scale={first:.3g}" in normalized.starts[0]


CURVES = np.exp(-0.1 * T) * np.ones((20, 1))


def with_value(value: float, problems: int, step: int) -> np.ndarray:
    curves = CURVES.copy()
    curves[:problems, step:] = value
    return curves


def test_tasks_on_which_f_is_nowhere_finite_are_counted(sentence: Callable) -> None:
    lost = with_value(np.nan, 1, 0)
    assert sentence(check_tasks, {"sgd": lost, "adam": lost}) == (
        "f is not finite on 1 of 20 problems after one step of any of sgd, adam; leave out the "
        "tasks on which it is not finite, or let f be finite everywhere"
    )
    # One rule that survives says that it is no fault of the task.
    check_tasks({"sgd": lost, "adam": CURVES})


def test_an_f_that_blows_up_on_many_tasks_whatever_the_rule_is_refused(sentence: Callable) -> None:
    few, many = with_value(np.inf, 1, 50), with_value(np.inf, 8, 50)
    check_tasks({"sgd": few, "adam": many})
    assert sentence(check_tasks, {"sgd": with_value(np.inf, 3, 50), "adam": many}) == (
        "f blows up or is not finite on at least 3 of 20 problems, whichever of sgd, adam it is; "
        "leave out the tasks on which it is not finite, or let f be finite everywhere"
    )


def test_an_f_that_was_refused_may_be_mended_in_its_folder(tmp_path: Path) -> None:
    origin = {"settings": {}, "versions": {}, "f": "a", "data": "b", "folder": "c"}
    Journal(tmp_path, ASKED).begin(origin, pytest.fail)
    # Nothing had been seen of the other.
    Journal(tmp_path, ASKED).begin({**origin, "f": "x"}, pytest.fail)
    assert Journal(tmp_path, ASKED).get("origin")["f"] == "x"


@pytest.mark.parametrize("name", ["look", "trials"])
def test_a_journal_of_another_version_is_named(
    name: str, tmp_path: Path, sentence: Callable
) -> None:
    (tmp_path / "choice.json").write_text(json.dumps({"asked": ASKED, name: {"a": {"b": 1}}}))
    journal = Journal(tmp_path, ASKED)
    assert sentence(getattr(journal, name)) == (
        f"{name} in {tmp_path / 'choice.json'} is damaged or of another version of metadescent; "
        "begin in another folder"
    )


def test_each_session_of_a_trial_is_noted_once(tmp_path: Path) -> None:
    for epochs, begun in ((0, [0]), (0, [0]), (5, [0, 5]), (9, [0, 5, 9])):
        assert Journal(tmp_path, ASKED).sessions("lstm", epochs) == begun
    assert Journal(tmp_path, ASKED).sessions("other", 3) == [3]
