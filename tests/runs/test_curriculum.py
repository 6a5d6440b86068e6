"""A curriculum: stages in a row, each from the best φ of the one before, while it gets better."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metadescent.meta.state import MetaState, initial_state
from metadescent.problems.quadratic import Quadratic
from metadescent.runs import folder as runs
from metadescent.runs.curriculum import HORIZONS, Stage, improved, keep, stages
from metadescent.runs.recipe import Recipe
from metadescent.zoo import file as artifact

NAME, PROBLEM = "quadratic(dimension=2)", Quadratic(dimension=2)
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    unroll=2,
    problems=2,
    epochs=2,
    episodes=2,
    meta_rate=0.03,
    validation_problems=2,
)


def run(stage: Stage) -> list[Any]:
    return list(runs.train(stage.folder, PROBLEM, NAME, stage.recipe))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Stage]:
    """The two stages of a curriculum, of which the first has been run and the second begun."""
    found = stages(tmp_path_factory.mktemp("curriculum"), RECIPE, (2, 4))
    run(found[0])
    next(iter(runs.train(found[1].folder, PROBLEM, NAME, found[1].recipe)))
    return found


def test_a_stage_is_validated_at_the_next_ones_horizon_and_goes_on_from_the_one_before() -> None:
    found = stages(Path("x"), replace(RECIPE, init="theirs", seed=7), (2, 4, 10))
    assert [stage.folder for stage in found] == [Path("x", f"steps-{n}") for n in (2, 4, 10)]
    recipes = [stage.recipe for stage in found]
    assert [recipe.steps for recipe in recipes] == [2, 4, 10]
    assert [recipe.validation_steps for recipe in recipes] == [4, 10, 10]
    before = [Path("theirs"), *(stage.folder for stage in found[:-1])]
    assert [Path(recipe.init) for recipe in recipes] == before
    assert len({recipe.seed for recipe in recipes}) == 3
    own = ("steps", "validation_steps", "init", "seed", "patience", "least_epochs")
    rest = [{k: v for k, v in asdict(recipe).items() if k not in own} for recipe in recipes]
    assert rest == 3 * [{k: v for k, v in asdict(RECIPE).items() if k not in own}]


def test_a_stage_has_the_patience_of_the_paper_unless_the_recipe_has_its_own() -> None:
    def patience(recipe: Recipe) -> set[tuple[int, int]]:
        found = stages(Path("x"), recipe, (2, 4))
        return {(stage.recipe.patience, stage.recipe.least_epochs) for stage in found}

    assert patience(RECIPE) == {(1, 3)}
    assert patience(replace(RECIPE, patience=4)) == {(4, 0)}
    assert patience(replace(RECIPE, patience=4, least_epochs=6)) == {(4, 6)}


def test_the_papers_horizons_make_a_curriculum() -> None:
    found = stages(Path("x"), Recipe(), HORIZONS)
    assert len(found) == 8
    assert all(stage.recipe.steps % stage.recipe.unroll == 0 for stage in found)


def test_one_horizon_is_a_run() -> None:
    ((_, recipe),) = stages(Path("x"), RECIPE, (6,))
    assert (recipe.steps, recipe.validation_steps, recipe.init) == (6, 6, "")


@pytest.mark.parametrize(
    ("horizons", "given"),
    [((), "none"), ((4, 2), "4, 2"), ((2, 2), "2, 2"), ((1, 3, 2), "1, 3, 2")],
)
def test_horizons_that_do_not_increase_are_refused(
    horizons: tuple[int, ...], given: str, sentence: Callable
) -> None:
    assert sentence(stages, Path("x"), RECIPE, horizons) == (
        f"the horizons of a curriculum are {given}; try 100,200,500"
    )


def test_a_horizon_of_nothing_is_refused(sentence: Callable) -> None:
    assert sentence(stages, Path("x"), RECIPE, (0, 2)) == "steps is 0 and must be at least 1"


def test_a_stage_begins_with_the_best_phi_of_the_one_before(
    both: list[Stage], assert_same_bits: Callable
) -> None:
    first, second = both
    best = runs.finished_state(*first).best
    assert_same_bits(runs.initial_optimizer(second.recipe), best)
    # Its own draw is another.
    drawn = jax.tree.leaves(runs.initial_optimizer(replace(second.recipe, init="")))
    assert not all((a == b).all() for a, b in zip(drawn, jax.tree.leaves(best), strict=True))


def test_a_stages_file_tells_of_all_stages_before(both: list[Stage]) -> None:
    first, second = (artifact.read_card(stage.folder / "optimizer.safetensors") for stage in both)
    assert first["before"] is None
    before = second["before"]
    assert before == {key: first[key] for key in ("trained_on", "recipe", "budget", "before")}
    assert (before["recipe"]["steps"], second["recipe"]["steps"]) == (2, 4)


def test_a_phi_that_rests_is_worth_what_validate_init_says(tmp_path: Path) -> None:
    """At the horizon that is validated, whichever φ the recipe starts from."""
    resting = replace(RECIPE, steps=2, validation_steps=6, meta_rate=0.0, epochs=1)
    ((state, info),) = runs.train(tmp_path / "drawn", PROBLEM, NAME, resting)
    assert runs.validate_init(resting, PROBLEM) == float(state.best_loss)
    assert info.validation.shape == (6,)
    moved = replace(resting, meta_rate=0.03, seed=5)
    list(runs.train(tmp_path / "moved", PROBLEM, NAME, moved))
    resumed = replace(resting, init=str(tmp_path / "moved"))
    ((state, _),) = runs.train(tmp_path / "resumed", PROBLEM, NAME, resumed)
    worth = runs.validate_init(resumed, PROBLEM)
    assert worth == float(state.best_loss) != runs.validate_init(resting, PROBLEM)


def ended(stage: Stage, loss: float) -> MetaState:
    """The state of a stage that ended with this as its best validation loss."""
    m = runs.initial_optimizer(stage.recipe)
    state = initial_state(m, runs.meta_optimizer_of(stage.recipe))
    return state._replace(best_loss=jnp.asarray(loss), best_epoch=jnp.asarray(1))


def test_a_stage_has_improved_if_it_is_better_than_what_it_began_with(both: list[Stage]) -> None:
    first, second = both
    worth = runs.validate_init(second.recipe, PROBLEM)
    assert improved(second, PROBLEM, ended(second, 0.999 * worth))
    for loss in (worth, 1.001 * worth, float("inf"), float("nan")):
        assert not improved(second, PROBLEM, ended(second, loss))
    # The first began with nothing that could be kept instead.
    assert improved(first, PROBLEM, ended(first, 1e9))


def test_what_is_kept_is_the_stages_file(both: list[Stage], tmp_path: Path) -> None:
    for stage in both:
        keep(tmp_path, stage.folder)
        kept = (tmp_path / "optimizer.safetensors").read_bytes()
        assert kept == (stage.folder / "optimizer.safetensors").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["optimizer.safetensors"]


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({}, "two-phase"),
        ({"form": "plain"}, "plain"),
        ({"second_derivatives": True}, "recompute"),
        ({"estimator": "truncated(form='segments')", "form": "plain"}, "segments"),
        ({"estimator": "truncated(second_derivatives=True)"}, "recompute"),
        ({"estimator": "pes(std=0.1)"}, "pes"),
        ({"estimator": "imitation", "form": "plain"}, "imitation"),
    ],
    ids=str,
)
def test_the_form_of_a_recipe_is_its_estimators(options: dict[str, Any], form: str) -> None:
    recipe = replace(RECIPE, **options)
    assert runs.form_of(runs.initial_optimizer(recipe), recipe) == form


def test_a_recipes_numbers_reach_its_estimator() -> None:
    recipe = replace(RECIPE, problems=3, coordinates=5)
    found: dict[str, Any] = {
        spec: runs.schedule_of(replace(recipe, estimator=spec)).estimator
        for spec in ("truncated", "truncated(problems=9)", "pes(std=0.1)")
    }
    assert [estimator.problems for estimator in found.values()] == [3, 9, 3]
    assert (found["truncated"].coordinates, found["pes(std=0.1)"].std) == (5, 0.1)


@pytest.mark.parametrize("estimator", ["pes(std=0.1)", "imitation(rate=0.1)"])
def test_a_run_by_another_estimator_is_resumed_to_the_bit(
    estimator: str, tmp_path: Path, assert_same_bits: Callable
) -> None:
    recipe = replace(RECIPE, steps=4, estimator=estimator)
    whole = list(runs.train(tmp_path / "whole", PROBLEM, NAME, recipe))
    next(iter(runs.train(tmp_path / "broken", PROBLEM, NAME, recipe)))
    ((state, _),) = runs.train(tmp_path / "broken", PROBLEM, NAME, recipe, resume=True)
    assert_same_bits(state, whole[-1][0])
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["recipe"]["estimator"] == estimator
