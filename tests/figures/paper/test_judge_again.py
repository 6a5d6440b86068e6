"""What a stranger makes of a figure's JSON, with NumPy alone, is what the figure says."""

import json
import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest
from scipy import stats

from metadescent.descent.comparison import Comparison
from metadescent.figures.paper import experiments, panels
from metadescent.figures.paper.budgets import BUDGETS, Budget, Seeds
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.experiment import Reproduction, reproduce
from metadescent.figures.paper.panels import LearningCurves
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

SCRIPT = Path(__file__).parents[3] / "examples" / "judge_again.py"
JUDGED: Callable[[Any], dict[str, bool]] = runpy.run_path(str(SCRIPT))["judged"]
STUDENT = runpy.run_path(str(SCRIPT))["student"]
FIGURES = {n: e for n, e in experiments().items() if isinstance(e, LearningCurves)}


def written(reproduction: Reproduction) -> Any:
    return json.loads(json.dumps(reproduction.to_json(), allow_nan=False))


def agrees(found: Any) -> dict[str, bool]:
    verdicts = {claim["id"]: claim["holds"] for claim in found["claims"]}
    assert JUDGED(found) == verdicts
    return verdicts


@pytest.mark.parametrize("figure", FIGURES)
def test_it_agrees_on_every_figure_where_claims_hold_and_where_they_do_not(
    figure: str, panel: Callable
) -> None:
    experiment, both = FIGURES[figure], set()
    # Ahead by far, and level in part, where one run of a baseline blew up.
    for mine, width in ((0.15, 0.01), (0.31, 0.08)):
        measured = {n: panel(s, mine, width=width) for n, s in experiment.settings.items()}
        if width > 0.01:
            measured[next(iter(measured))].losses["adam"][0, -5:] = math.inf
        both |= set(agrees(of(experiment, measured)).values())
    # Some of appendix D's margins are wider.
    assert both == {True, False} or figure in ("figure8-transfer", "transfer")


def of(experiment: LearningCurves, made: dict[str, Comparison]) -> Any:
    records = experiment.records(made)
    claims = judge_claims(CRITERIA[experiment.figure], records)
    return written(Reproduction(experiment.figure, made, records, claims, lambda: None))


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.slow
def test_it_agrees_on_a_smoke_run_of_which_an_untrained_lstm_supports_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    # A smoke run that is judged, and has baselines that are tuned.
    monkeypatch.setitem(BUDGETS, "smoke", Budget(*[Seeds(8, 8)] * 8, horizon=0.1))
    found = written(reproduce(FIGURES["figure4"], budget="smoke", load=tiny, begin=tiny))
    verdicts = agrees(found)
    assert {id for id, holds in verdicts.items() if holds} <= {
        *("equivalent", "equivalent-decay", "equivalent-start")
    }
    path = tmp_path / "figure4.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    # By itself: neither the package nor JAX is imported.
    code = (
        f"import runpy, sys; sys.argv = ['judge_claims', {str(path)!r}];"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__');"
        "sys.exit(bool({'metadescent', 'jax', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8"
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name: said == "yes" for said, name in lines} == verdicts


@pytest.mark.parametrize("dof", [1, 2, 7, 1023])
@pytest.mark.parametrize("level", [0.95, 0.9875])
def test_its_quantile_is_students(dof: int, level: float) -> None:
    assert STUDENT(dof, level) == pytest.approx(stats.t.ppf((1 + level) / 2, dof), rel=1e-6)
