"""What is said of figures that were made anew is what their JSON has."""

import copy
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from metadescent._errors import UserError
from metadescent.figures.paper import experiments
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.criterion import digest_of
from metadescent.runs.reproduced import (
    claims_table,
    count_claims,
    interval,
    losses_table,
    overview,
    reproduction_markdown,
    reproduction_page,
)

DOCS = Path(__file__).parents[2] / "docs"


def claim(**changed: Any) -> dict[str, Any]:
    usual = {"text": '"bigger": mean of |g|', "section": "B", "measured": 2.0, "reference": 4.0}
    decided = {"against": "adam", "ratio": 0.5, "low": 0.25, "high": 0.75, "holds": True}
    return usual | decided | changed


def curve(last: float | None) -> dict[str, Any]:
    # Twenty steps, so that the last tenth is two.
    return {"mean": [9.0] * 18 + [last, last]}


@pytest.fixture
def made() -> dict[str, Any]:
    curves = {"mine": 0.2, "mine, as it begins": 0.8, "sgd": 0.6, "adam": 0.4, "nag": None}
    search = {"rate": 0.1, "level": [0.05, 0.2]}
    return {
        "figure": "figure4",
        "made": {"budget": "cpu", "seed": 3, "criteria": "abc", "minutes": 12.3}
        | {"hardware": "a <machine>", "versions": {"jax": "1.2"}},
        "claims": [claim(), claim(holds=False, text="second")],
        "panels": {"left": {"curves": {name: curve(loss) for name, loss in curves.items()}}},
        "rates": {"left": dict.fromkeys(("sgd", "adam", "nag"), search)},
    }


def test_a_row_has_what_decided() -> None:
    (row,) = claims_table([claim()]).rows
    assert row == ['"bigger": mean of |g|', "B", "2", "4, adam", "0.5", "0.25 – 0.75", "yes"]
    nothing = claim(reference=1.0, against="", ratio=None, low=None, high=None, holds=None)
    assert claims_table([nothing]).rows[0][3:] == ["1", "–", "–", "not judged"]


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((1.0, 2.0), "1 – 2"),
        ((1.0, None), "1 – ∞"),
        ((1.0, float("inf")), "1 – ∞"),
        ((None, 2.0), "−∞ – 2"),
        ((None, None), "–"),
        ((float("nan"), float("nan")), "–"),
    ],
)
def test_an_interval_may_be_open(ends: tuple[float | None, float | None], text: str) -> None:
    assert interval(*ends) == text


def test_the_rule_as_it_begins_and_the_best_baseline_stand_beside_the_trained_one(
    made: dict[str, Any],
) -> None:
    table = losses_table(made)
    assert table is not None
    assert table.rows == [["left", "mine", "0.2", "0.8", "0.4, adam", "0.1", "0.05 – 0.2"]]
    # A rate that is level with no other has no range; what diverged says so.
    made["rates"]["left"]["adam"] = {"rate": 0.1, "level": [0.1, 0.1]}
    made["panels"]["left"]["curves"]["mine"] = curve(None)
    table = losses_table(made)
    assert table is not None
    assert table.rows[0][2] == "diverged"
    assert table.rows[0][-1] == "–"


def test_a_figure_of_no_learning_curves_has_no_losses(made: dict[str, Any]) -> None:
    assert losses_table(made | {"panels": {}, "rates": {}}) is None


def test_claims_are_counted(made: dict[str, Any]) -> None:
    made["claims"].append(claim(holds=None))
    assert (count_claims(made, True), count_claims(made, False)) == (1, 1)
    assert overview([made]).rows == [["figure4", "3", "1", "1", "12.3", "a <machine>"]]


def test_the_page_has_pictures_claims_hardware_and_what_is_absent(made: dict[str, Any]) -> None:
    page = reproduction_page([made], {"figure4": b"\x89PNG"}, {"figure8": "no <data>"})
    assert "data:image/png;base64,iVBORw==" in page
    for text in ("0.25 – 0.75", "a &lt;machine&gt;", "12.3 minutes", "no &lt;data&gt;"):
        assert text in page
    assert "not judged" not in page
    assert "<machine>" not in page


def test_the_page_of_a_smoke_run_has_no_claim(made: dict[str, Any]) -> None:
    made["claims"] = [claim(holds=None)]
    page = reproduction_page([made], {}, {})
    assert "no claim is judged" in page
    assert "0.25 – 0.75" not in page


@pytest.fixture(scope="module")
def tool() -> Any:
    path = DOCS.parent / "tools" / "write_verdicts.py"
    spec = importlib.util.spec_from_file_location("write_verdicts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EMPTY = "before\n<!-- verdicts -->\n<!-- end of verdicts -->\nafter\n"


def test_the_documentation_is_written_figure_by_figure(tool: Any, made: dict[str, Any]) -> None:
    later = copy.deepcopy(made) | {"figure": "figure5"}
    page = tool.with_verdicts(tool.with_verdicts(EMPTY, [later]), [made])
    assert page == tool.with_verdicts(EMPTY, [made, later])
    assert page.startswith("before\n")
    assert page.endswith("<!-- end of verdicts -->\nafter\n")
    assert re.findall("^### (.*)$", page, re.MULTILINE) == ["figure4", "figure5"]
    # A bar in a cell is no border.
    assert r"mean of \|g\|" in page
    # Written anew, it is the same; and a figure that was made again takes its own place.
    assert tool.with_verdicts(page, []) == page
    again = tool.with_verdicts(page, [made | {"claims": [claim(text="other")]}])
    assert again.count("second") == 1
    assert again.count("other") == 1
    missing = re.findall(r"`([\w-]+)`", page.partition("### ")[0])
    assert missing == [name for name in experiments() if name not in ("figure4", "figure5")]


def test_a_smoke_run_is_refused_by_the_documentation(tool: Any, made: dict[str, Any]) -> None:
    made["claims"] = [claim(holds=None)]
    with pytest.raises(UserError, match=r"figure4 is of a smoke run, .* try --budget cpu"):
        tool.with_verdicts(EMPTY, [made])


def test_the_tool_writes_the_page(
    tool: Any, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.md").write_text(EMPTY, encoding="utf-8")
    (tmp_path / "f.json").write_text(json.dumps(made), encoding="utf-8")
    words = ["write_verdicts.py", str(tmp_path / "f.json"), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr("sys.argv", words)
    tool.main()
    assert reproduction_markdown(made) in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_the_page_of_the_docs_is_as_the_tool_writes_it(tool: Any) -> None:
    page = (DOCS / "reproducing.md").read_text(encoding="utf-8")
    assert tool.with_verdicts(page, []) == page


def test_its_verdicts_are_by_the_criteria_of_today(tool: Any) -> None:
    (block,) = tool.BLOCK.findall((DOCS / "reproducing.md").read_text(encoding="utf-8"))
    for name, text in tool.SECTION.findall(block):
        assert f"criteria {digest_of(CRITERIA[name])};" in text
