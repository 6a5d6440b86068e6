"""The report on a run: what is left of it where there is nothing to compare."""

import jax
import jax.numpy as jnp

from metadescent import FromFunction
from metadescent.optimizers.lstm import LSTM
from metadescent.runs.checkup import Checkup
from metadescent.runs.doctor import BAD_DATA
from metadescent.runs.recipe import Recipe
from metadescent.runs.report import count_reports, run_page


def test_of_an_f_that_is_never_finite_there_are_verdicts_and_no_pictures() -> None:
    f = FromFunction(lambda theta, key: jnp.nan * theta, lambda key: jnp.ones(()))
    recipe = Recipe(steps=2, unroll=1)
    reports: list[str] = []
    text, findings = run_page(
        Checkup(recipe, [], None, 0.3),
        LSTM((2,), key=jax.random.key(0)),
        f,
        "nowhere <finite>",
        baselines=["sgd"],
        num_seeds=2,
        progress=reports.append,
    )
    assert [finding.verdict for finding in findings] == [BAD_DATA]
    assert "Meta-training on nowhere &lt;finite&gt;" in text
    assert "<h2>Measurements</h2>" in text
    assert "<h2>Comparison</h2>" not in text
    assert "<img" not in text
    assert 0 < len(reports) <= count_reports(["sgd"])
