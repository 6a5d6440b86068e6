"""A kept search is used where a new one would be the same, and nowhere else."""

import jax
import pytest

from metadescent.experiments.kept import entry, searches
from metadescent.files import write_json
from metadescent.problems.quadratic import Quadratic
from metadescent.tune import tune

KEY = jax.random.key(3)
SIZES = {"num_steps": 20, "num_seeds": 4}


@pytest.fixture(scope="module")
def tuned():
    return tune("sgd", Quadratic(), KEY, **SIZES)


@pytest.fixture(scope="module")
def file(tuned, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "figure.json"
    write_json(path, {"left": {"sgd": entry("sgd", tuned, Quadratic(), KEY, **SIZES)}})
    return path


def test_a_kept_search_is_the_search(file, tuned):
    assert searches(file, "left", Quadratic(), KEY, **SIZES) == {"sgd": tuned}


@pytest.mark.parametrize(
    ("panel", "problem", "key", "sizes"),
    [
        ("right", Quadratic(), KEY, SIZES),
        ("left", Quadratic(entries="uniform"), KEY, SIZES),
        ("left", Quadratic(), jax.random.key(4), SIZES),
        ("left", Quadratic(), KEY, {"num_steps": 21, "num_seeds": 4}),
        ("left", Quadratic(), KEY, {"num_steps": 20, "num_seeds": 5}),
    ],
    ids=["panel", "problem", "key", "steps", "seeds"],
)
def test_of_another_search_nothing_is_used(file, panel, problem, key, sizes):
    assert searches(file, panel, problem, key, **sizes) == {}


def test_without_a_file_nothing_is_used(tmp_path):
    assert searches(tmp_path / "none.json", "left", Quadratic(), KEY, **SIZES) == {}
