"""A curriculum: stages in a row, each from the best φ of the one before, while it gets better."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from metadescent import zoo
from metadescent.meta.state import MetaState
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.curriculum import (
    HORIZONS,
    Stage,
    improved,
    keep_optimizer,
    stages,
    validate_init,
)
from metadescent.runs.plan import initial_optimizer, plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import finished_state, train
from metadescent.zoo import file as artifact

NAME, PROBLEM = "quadratic(dimension=2)", Quadratic(dimension=2)
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    unroll=2,
    problems=2,
    epochs=4,
    episodes=2,
    meta_rate=0.03,
    average=0.5,
    validation_problems=2,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Stage]:
    """The two stages of a curriculum, of which the first has been run and the second begun."""
    first, second = stages(tmp_path_factory.mktemp("curriculum"), RECIPE, (2, 4))
    list(train(first.folder, PROBLEM, NAME, plan_of(first.recipe)))
    next(train(second.folder, PROBLEM, NAME, plan_of(second.recipe)))
    return [first, second]


def test_a_stage_is_validated_at_the_next_ones_horizon_and_goes_on_from_the_one_before() -> None:
    curriculum = stages(Path("x"), replace(RECIPE, init="theirs", seed=7), (2, 4, 10))
    assert [stage.folder for stage in curriculum] == [Path("x", f"steps-{n}") for n in (2, 4, 10)]
    recipes = [stage.recipe for stage in curriculum]
    assert [recipe.steps for recipe in recipes] == [2, 4, 10]
    assert [recipe.validation_steps for recipe in recipes] == [4, 10, 10]
    before = [Path("theirs"), *(stage.folder for stage in curriculum[:-1])]
    assert [Path(recipe.init) for recipe in recipes] == before
    assert len({recipe.seed for recipe in recipes}) == 3
    own = ("steps", "validation_steps", "init", "seed", "patience", "least_epochs")
    rest = [{k: v for k, v in asdict(recipe).items() if k not in own} for recipe in recipes]
    assert rest == 3 * [{k: v for k, v in asdict(RECIPE).items() if k not in own}]


def test_a_stage_has_the_patience_of_the_paper_unless_the_recipe_has_its_own() -> None:
    def patience(recipe: Recipe) -> set[tuple[int, int]]:
        curriculum = stages(Path("x"), recipe, (2, 4))
        return {(stage.recipe.patience, stage.recipe.least_epochs) for stage in curriculum}

    assert patience(RECIPE) == {(1, 3)}
    assert patience(replace(RECIPE, patience=4)) == {(4, 0)}
    assert patience(replace(RECIPE, patience=4, least_epochs=6)) == {(4, 6)}


def test_the_papers_horizons_make_a_curriculum() -> None:
    curriculum = stages(Path("x"), Recipe(), HORIZONS)
    assert len(curriculum) == 8
    assert all(stage.recipe.steps % stage.recipe.unroll == 0 for stage in curriculum)


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
    best = finished_state(first.folder, plan_of(first.recipe)).best
    assert_same_bits(initial_optimizer(second.recipe), best)
    # Its own draw is another.
    drawn = jax.tree.leaves(initial_optimizer(replace(second.recipe, init="")))
    assert not all((a == b).all() for a, b in zip(drawn, jax.tree.leaves(best), strict=True))


def test_a_stages_file_tells_of_all_stages_before(both: list[Stage]) -> None:
    first, second = (artifact.read_card(stage.folder / "optimizer.safetensors") for stage in both)
    assert first["before"] is None
    before = second["before"]
    assert before == {key: first[key] for key in ("trained_on", "recipe", "budget", "before")}
    assert (before["recipe"]["steps"], second["recipe"]["steps"]) == (2, 4)


@pytest.fixture(scope="module")
def resting() -> Recipe:
    """A recipe that leaves φ where it is, and is validated at a horizon of its own."""
    return replace(RECIPE, steps=2, validation_steps=6, meta_rate=0.0, epochs=1)


@pytest.fixture(scope="module")
def rested(
    resting: Recipe, both: list[Stage], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Recipe, MetaState, int]]:
    """Such runs, of a φ that was drawn and of one that goes on from another's: each one's end."""
    ends = []
    for recipe in (resting, replace(resting, init=str(both[0].folder))):
        folder = tmp_path_factory.mktemp("rested")
        ((state, info),) = train(folder, PROBLEM, NAME, plan_of(recipe))
        ends.append((recipe, state, len(info.validation)))
    return ends


def test_a_phi_that_rests_is_worth_what_validate_init_says(
    rested: list[tuple[Recipe, MetaState, int]],
) -> None:
    """At the horizon that is validated, whichever φ the recipe starts from."""
    worths = [validate_init(recipe, PROBLEM) for recipe, _, _ in rested]
    assert worths == [float(state.best_loss) for _, state, _ in rested]
    assert [steps for _, _, steps in rested] == [6, 6]
    assert worths[0] != worths[1]


def ended(stage: Stage, loss: float) -> MetaState:
    """The state of a stage that ended with this as its best validation loss."""
    state = plan_of(stage.recipe).initial_state
    return state._replace(best_loss=jnp.asarray(loss), best_epoch=jnp.asarray(1))


def test_a_stage_has_improved_if_it_is_better_than_what_it_began_with(both: list[Stage]) -> None:
    first, second = both
    worth = validate_init(second.recipe, PROBLEM)
    assert improved(second, PROBLEM, ended(second, 0.999 * worth))
    for loss in (worth, 1.001 * worth, float("inf"), float("nan")):
        assert not improved(second, PROBLEM, ended(second, loss))
    # The first began with nothing that could be kept instead.
    assert improved(first, PROBLEM, ended(first, 1e9))


def test_a_first_stage_without_a_finite_validation_is_a_sentence(
    both: list[Stage], sentence: Callable
) -> None:
    first, _ = both
    nothing = plan_of(first.recipe).initial_state
    assert sentence(improved, first, PROBLEM, nothing) == (
        f"no validation of {first.folder} at 4 steps was finite; try --meta-rate 0.01 or a second "
        "horizon that is shorter"
    )


def test_what_is_kept_is_the_stages_file(both: list[Stage], tmp_path: Path) -> None:
    for stage in both:
        keep_optimizer(tmp_path, stage.folder)
        kept = (tmp_path / "optimizer.safetensors").read_bytes()
        assert kept == (stage.folder / "optimizer.safetensors").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["optimizer.safetensors"]


def test_a_pretrained_optimizer_may_be_kept_too(tmp_path: Path) -> None:
    assert keep_optimizer(tmp_path, "mnist-lstm") == tmp_path / "optimizer.safetensors"
    assert zoo.load(tmp_path).layers == (20, 20)
