"""A kept search is used where a new one would be the same, and nowhere else."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent._files import write_json
from metadescent.descent.baselines import baseline_of
from metadescent.descent.comparison import problem_keys
from metadescent.descent.curves import learning_curves
from metadescent.descent.tuning import Tuned, tune
from metadescent.figures.paper.budgets import BUDGETS, Budget, Seeds
from metadescent.figures.paper.kept import is_kept, kept_searches, seal, to_entry
from metadescent.figures.paper.panels import LearningCurves, Setting, searches_of
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_problem

KEY = jax.random.key(3)
SIZES = {"num_steps": 20, "num_seeds": 4}


@pytest.fixture(scope="module")
def tuned():
    return tune("sgd", Quadratic(), KEY, **SIZES)


@pytest.fixture(scope="module")
def file(tuned, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "figure.json"
    write_json(path, {"left": {"sgd": to_entry("sgd", tuned, Quadratic(), KEY, **SIZES)}})
    return path


def test_a_kept_search_is_the_search(file, tuned):
    assert kept_searches(file, "left", Quadratic(), KEY, **SIZES) == {"sgd": tuned}


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
    assert kept_searches(file, panel, problem, key, **sizes) == {}


def test_a_seal_is_the_loss_of_the_first_steps_below_the_best_rate(tuned):
    losses = seal("sgd", tuned, Quadratic(), KEY, 4)
    m = baseline_of("sgd").at(tuned.rate / 10)
    curves = learning_curves(m, Quadratic(), KEY, num_steps=5, num_seeds=4)
    np.testing.assert_allclose(losses, curves.mean(0), rtol=1e-6)
    assert losses[0] > losses[-1]


def test_a_variant_of_a_baseline_has_a_seal(tuned):
    losses = seal("rmsprop-0.9", tuned._replace(rate=0.01), Quadratic(), KEY, 4)
    assert losses[-1] < losses[0]
    assert losses != seal("rmsprop", tuned._replace(rate=0.01), Quadratic(), KEY, 4)


def test_without_a_file_nothing_is_used(tmp_path):
    assert not is_kept(tmp_path / "none.json", "left", "sgd", 20, 4)
    assert kept_searches(tmp_path / "none.json", "left", Quadratic(), KEY, **SIZES) == {}


def test_what_is_kept_is_not_tuned_ahead(file, tmp_path):
    one = Setting("quadratic", "quadratic-lstm", 20, "functions", "", "", ("sgd", "adam"))
    budget = Budget(*[Seeds(4, 4)] * (len(Budget._fields) - 2))
    both = [("sgd", "quadratic", 20, 4), ("adam", "quadratic", 20, 4)]
    assert searches_of({"left": one}, budget, kept=file) == both[1:]
    assert searches_of({"right": one}, budget, kept=file) == both
    assert searches_of({"left": one}, budget, kept=tmp_path / "none.json") == both
    shorter = [("sgd", "quadratic", 10, 4), ("adam", "quadratic", 10, 4)]
    assert searches_of({"left": one}, budget._replace(horizon=0.5), kept=file) == shorter


def test_rates_are_searched_on_the_problem_that_is_named_for_it():
    budget = Budget(*[Seeds(4, 4)] * (len(Budget._fields) - 2))
    one = Setting("quadratic", "quadratic-lstm", 20, "functions", "", "", ("sgd",))
    other = one._replace(tuned_on="quadratic-uniform")
    assert searches_of({"left": one}, budget) == [("sgd", "quadratic", 20, 4)]
    assert searches_of({"left": other}, budget) == [("sgd", other.tuned_on, 20, 4)]


@pytest.fixture(scope="module")
def tool():
    path = Path(__file__).parents[3] / "tools" / "keep_searches.py"
    spec = importlib.util.spec_from_file_location("keep_searches", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_keeps_the_searches_of_any_experiment(tool, tmp_path, monkeypatch, capsys):
    """By its figure's name, on the problem that rates are tuned on; and does none of them twice."""
    other = "quadratic-uniform"
    one = Setting("quadratic", "", 20, "functions", "", "", ("sgd",), tuned_on=other)
    experiment = LearningCurves("figure8", {"left": one}, criteria=[])
    experiment.kept = tmp_path / "figure.json"
    monkeypatch.setattr(tool, "experiment_of", {"figure8": experiment}.__getitem__)
    budget = BUDGETS["cpu"]._replace(functions=Seeds(8, 32))
    monkeypatch.setattr(tool, "budget_of", lambda _: budget)
    monkeypatch.setattr(tool, "tuning_cache", lambda: tmp_path / "cache")

    def cached_tune(name, problem, key, num_steps, num_seeds, cache):
        assert (name, problem, num_steps, num_seeds) == ("sgd", make_problem(other), 20, 32)
        assert (jax.random.key_data(key) == jax.random.key_data(problem_keys(0)[0])).all()
        assert cache == tmp_path / "cache"
        return Tuned(0.1, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "by hand")

    monkeypatch.setattr(tool, "cached_tune", cached_tune)
    monkeypatch.setattr("sys.argv", ["keep_searches.py", "figure8"])
    tool.main()
    assert capsys.readouterr().out.startswith("left, sgd: ")
    key, _ = problem_keys(0)
    kept = kept_searches(
        experiment.kept, "left", make_problem(other), key, num_steps=20, num_seeds=32
    )
    assert list(kept) == ["sgd"]
    tool.main()
    assert capsys.readouterr().out == ""
