"""Costs: turns are taken, compiling is not counted, and a table has them beside the first's."""

from typing import Any

import jax
import numpy as np
import optax
import pytest

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.figures.paper import costs
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.report import comparison_table

KEY = jax.random.key(0)


def test_a_step_is_the_median_turn_and_the_first_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a clock by which a compiling run takes 100 s, and the turns what they say."""
    rules = {"first": optax.sgd(0.1), "second": optax.sgd(0.2)}
    turns = {"first": [100.0, 1.0, 9.0, 2.0, 3.0, 2.0], "second": [100.0, 5.0, 4.0, 6.0, 9.0, 4.0]}
    now, order = [0.0], []

    def curves(m: Any, problem: Any, key: Any, *, num_steps: int, num_seeds: int) -> np.ndarray:
        assert (num_steps, num_seeds) == (10, 1)
        (name,) = (name for name, rule in rules.items() if rule is m)
        now[0] += turns[name][order.count(name)]
        order.append(name)
        return np.zeros(1)

    monkeypatch.setattr(costs, "learning_curves", curves)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: now[0])
    found = costs.seconds_a_step(rules, Quadratic(dimension=2), KEY, num_steps=10)
    assert found == pytest.approx({"first": 0.2, "second": 0.5})
    assert order == 6 * ["first", "second"]


def panel() -> Comparison:
    mean = np.ones(4)
    curves = {"lstm": Curve(mean, mean, mean), "sgd": Curve(mean, mean, mean, 0.1)}
    return Comparison("problem", 4, 2, curves, {}, 0.5)


def test_every_optimizer_of_a_panel_is_timed_at_its_tuned_rate() -> None:
    found = costs.with_costs(panel(), {"lstm": optax.adam(0.1)}, Quadratic(dimension=2), KEY)
    assert list(found.seconds) == ["lstm", "sgd"]
    assert found.to_json()["seconds_per_step"] == found.seconds
    assert "seconds_per_step" not in panel().to_json()


def test_a_table_has_the_costs_of_steps() -> None:
    columns, rows = comparison_table(panel()._replace(seconds={"lstm": 0.002, "sgd": 0.0005}))
    at = columns.index("µs a step")
    assert [float(row[at]) for row in rows] == pytest.approx([2000.0, 500.0])
    assert "µs a step" not in comparison_table(panel())[0]
