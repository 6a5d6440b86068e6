"""What is chosen from trials that are done, and what is kept in the end: nothing is computed."""

import math
from dataclasses import asdict
from pathlib import Path

import equinox as eqx
import pytest
from tests.runs.choice.test_look import ASKED, STEPS, candidates, seen

from metadescent._files import write_json
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.kept import keep_best, repeated
from metadescent.runs.choice.trials import choose
from metadescent.runs.folder import CONFIG, OPTIMIZER
from metadescent.runs.plan import plan_of
from metadescent.zoo.cards import read_card
from metadescent.zoo.file import load, save

TRIED = {c.name: c for c in candidates(seen(), steps=STEPS, seed=0, seconds=60.0)}


def journal_of(folder: Path, trials: dict[str, float | None]) -> Journal:
    """A choice of which all has been seen and tried."""
    journal = Journal(folder, ASKED)
    journal.see(seen())
    specs = [spec for candidate in TRIED.values() for spec in candidate.starts]
    journal.put("starts", dict.fromkeys(specs, 1.0))
    journal.put("trial_plan", {"seconds": 1.0, "until": 1.0})
    done = {}
    for name in TRIED:
        for share in (1, 3):
            r = trials.get(f"{name} × {share}", 9.0 if share == 1 else None)
            spec = TRIED[name].starts[0]
            result = None if r is None else Result(name, spec, 1.0, r, 4 * share, 0.5, 2.0)
            done[f"{name} × {share}"] = result and result._asdict()
    journal.put("trials", done)
    return journal


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ({"lstm × 1": 0.5, "normalized × 1": 0.6, "lstm × 3": 0.45, "normalized × 3": 0.3}, 1),
        # No time is left for the one that was best: it stands as it was.
        ({"lstm × 1": 0.5, "normalized × 1": 0.4, "lstm × 3": 0.45, "normalized × 3": None}, 1),
        ({"lstm × 1": 0.5, "normalized × 1": 0.4, "lstm × 3": 0.35, "normalized × 3": None}, 0),
        # Far behind the best, another is not tried for longer.
        ({"lstm × 1": 0.5, "normalized × 1": 0.9}, 0),
        ({"lstm × 1": None, "normalized × 1": math.inf}, 2),
    ],
)
def test_the_best_of_all_trials_is_chosen(
    trials: dict[str, float | None], best: int, tmp_path: Path
) -> None:
    journal = journal_of(tmp_path, trials)

    def bar(title: str, total: int) -> None:
        pytest.fail(f"{title} is done again")

    recipe = choose(tmp_path, Quadratic(), journal, bar=bar)  # pyright: ignore[reportArgumentType]
    chosen = [*TRIED.values()][best]
    assert (recipe.optimizer, recipe.estimator) == (chosen.starts[0], chosen.recipe.estimator)
    # It goes on where the longest trial of it ended, whose meta-rate was constant.
    longest = [result.epochs for result in journal.trials() if result.name == chosen.name]
    assert (recipe.decay, [recipe.hold]) == ("cosine", longest)
    assert recipe.epochs > recipe.hold
    assert recipe == journal.chosen()


def test_what_was_found_best_is_kept_after_a_stop_without_being_looked_for(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, {"lstm × 1": 0.5})
    journal.choose("quasi-newton", TRIED["quasi-newton"].recipe)
    config = TRIED["lstm"].recipe
    trial = tmp_path / "trials" / "lstm"
    trial.mkdir(parents=True)
    write_json(trial / CONFIG, {"problem": "p", "recipe": asdict(config), "origin": None})
    m = plan_of(config).m
    save(trial / OPTIMIZER, m, trained_on="p", recipe=asdict(config), budget={"epoch": 3})
    # It was killed after the one, or after the other.
    journal.put("best", ["lstm", 0.5])
    for _ in range(2):
        keep_best(tmp_path, Quadratic(), journal)
        assert eqx.tree_equal(load(tmp_path), load(trial))
        assert journal.get("kept") == ["lstm", 0.5]
    card = read_card(tmp_path / OPTIMIZER)
    assert card["choice"]["kept"] == "lstm"
    assert card["choice"]["beside"] == "nag"
    assert card["choice"]["steps ÷"]["lstm"] == 0.5
    assert (card["trained_on"], card["budget"]) == ("p", {"epoch": 3})
    # The epochs that it had, and not those of which the clock would have stopped it.
    assert card["recipe"] == {**asdict(config), "epochs": 4}


def test_what_repeats_it_is_the_recipe_of_what_was_kept(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, {})
    chosen = TRIED["normalized"].recipe
    journal.choose("normalized", chosen)
    journal.put("starts", {"lstm": 0.7, "anytime": 0.5})
    journal.put("kept", ["trained", 0.5])
    assert repeated(tmp_path, journal) == chosen
    journal.put("kept", ["as it begins", 0.5])
    assert repeated(tmp_path, journal).optimizer == "anytime"


def test_a_baseline_with_a_schedule_begins_no_worse_than_it_is() -> None:
    paced = next(c for name, c in TRIED.items() if name.startswith("paced-"))
    # That it misses the baseline's end by a hair says nothing against it.
    assert [paced.as_it_begins(r) for r in (2.3, math.nan, 0.7)] == [1.0, 1.0, 0.7]
    assert TRIED["lstm"].as_it_begins(2.3) == 2.3
    assert TRIED["lstm"].as_it_begins(math.nan) == math.inf
