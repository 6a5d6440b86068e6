"""Records: what runs came to, in the digits that are written, and who is a rival."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from metadescent.descent.beginnings import as_begun
from metadescent.descent.curves import Curve, summarize
from metadescent.figures.paper.records import (
    QUANTITIES,
    Record,
    called,
    mean_run,
    record_of,
    rounded,
    tenth,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("steps", [4, 6, 100, 128, 200])
def test_quantities_of_losses(steps: int) -> None:
    losses = RNG.random((3, steps))
    of = {name: quantity.of(losses) for name, quantity in QUANTITIES.items()}
    np.testing.assert_allclose(of["last"], losses[:, -1])
    np.testing.assert_allclose(of["tenth"], losses[:, -tenth(steps) :].mean(1))
    np.testing.assert_allclose(of["sum"], losses.sum(1))
    np.testing.assert_allclose(of["least"], losses.min(1))
    np.testing.assert_array_equal(of["second half"], losses[:, steps // 2 :])
    np.testing.assert_array_equal(of["from 20"], losses[:, min(20, steps) - 1 :])
    # Tenths are counted from the end, as the last one is the final loss.
    np.testing.assert_allclose(of["tenths"][:, -1], of["tenth"])
    assert of["tenths"].shape == (3, min(10, steps))
    if steps % 10 == 0:
        np.testing.assert_allclose(of["tenths"].mean(1) * steps, of["sum"])


def test_what_quantities_are_called() -> None:
    assert called("last", 100) == "loss after step 100"
    assert called("tenth", 100) == "mean loss over steps 91–100"
    assert called("sum", 100) == "sum of losses over steps 1–100"
    assert called("second half", 200) == "loss of each of the steps 101–200"
    assert called("from 20", 128) == "loss of each of the steps 20–128"
    assert called("tenth") == "mean loss of the last tenth"
    assert called("L_content", 128) == called("L_content") == "L_content"


def test_a_record_tells_who_learned_who_is_a_rival_and_who_is_neither(panel: Callable) -> None:
    made = panel({"m": 0.2, as_begun("m"): 0.5, "adam": 0.3, "sgd": 0.4})
    record = record_of(made, ["least"])
    assert (record.learned, record.baselines) == (("m",), ("adam", "sgd"))
    assert set(record.values) == {"last", "tenth", "tenths", "sum", "least"}
    assert set(record.values["tenth"]) == set(made.curves)
    made.losses["sgd"][:2] = np.inf
    record = record_of(made)
    assert record.rivals == ("adam",)
    assert record.blown_up["sgd"] == [0, 1]


def test_every_baseline_of_one_rate_is_a_rival(panel: Callable) -> None:
    made = panel({"m": 0.2, "adam": 0.3, "lbfgs": 0.4, "adamw": 0.1, "nag-cosine": 0.1})
    assert record_of(made).baselines == ("adam", "lbfgs", "adamw", "nag-cosine")
    assert record_of(made).rivals == ("adam", "lbfgs")


def test_what_is_judged_is_what_is_written(panel: Callable) -> None:
    made = panel({"m": 1 / 3, "adam": 2 / 3})
    made.losses["adam"][1, -1] = np.nan
    record = record_of(made, ["second half"])
    written = json.loads(json.dumps(record.to_json(), allow_nan=False))
    for quantity, by_name in record.values.items():
        for name, values in by_name.items():
            np.testing.assert_array_equal(np.asarray(written[quantity][name], float), values)
    assert written["blown_up"] == {"adam": [1]}
    assert (written["learned"], written["baselines"], written["steps"]) == (["m"], ["adam"], 100)


def test_six_digits_are_kept_at_any_size() -> None:
    values = np.array([[1 / 3, 2e-17 / 3], [1e9 / 3, math.inf]])
    np.testing.assert_allclose(rounded(values), values, rtol=2e-6)
    assert rounded(values)[0, 0] == 0.333333
    assert rounded(np.array([0.0, -1e9 / 3, 123456.7])).tolist() == [0.0, -333333000.0, 123457.0]
    assert math.isnan(rounded(np.array([math.nan]))[0])


def test_a_mean_leaves_out_the_few_that_blew_up() -> None:
    runs = np.append(np.linspace(1.0, 2.0, 39), 1e9)
    record = Record(1, (), ("sgd",), {"last": {"sgd": runs}}, {"sgd": [39]})
    known = summarize(runs[:-1, None])
    assert isinstance(known, Curve)
    assert mean_run(record, "last", "sgd") == pytest.approx(
        [float(values[0]) for values in known[:3]]
    )
    many = record._replace(blown_up={"sgd": [37, 38, 39]})
    assert mean_run(many, "last", "sgd")[0] > 1e7
