"""The scores of docs/bench.md, from the JSON of the bench."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def write_scores() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_scores", TOOLS / "write_scores.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def piece(optimizer: str, task: str, gain: float) -> dict:
    score = {
        "speed_up": gain,
        "against_adamw": gain / 2,
        "beats_default": gain > 1,
        "held_out_end": None,
        "held_out_best": 0.9,
        "diverged": 0,
        "seeds": 3,
        "seconds": 1.0,
    }
    of = {"optimizer": optimizer, "task": task, "steps": 500, "seeds": 3, "seed": 0}
    return {"of": of, "result": {"score": score, "rate": ""}}


def test_every_task_has_a_row_and_every_optimizer_its_columns(
    write_scores: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [
        piece("runs/mine", "wine", 3.0),
        piece("runs/mine", "heat", 0.0),
        piece("nag", "wine", 1.5),
    ]
    scores, page = tmp_path / "s.json", tmp_path / "page.md"
    scores.write_text(json.dumps({"results": pieces}))
    page.write_text("before\n<!-- scores -->\nold\n<!-- end of scores -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["write_scores.py", str(scores), "--page", str(page)])
    write_scores.main()
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "old" not in lines
    assert "### 500 steps" in lines
    assert "| `wine` | 3.00 | 1.50 | 1.50 | 0.75 |" in lines
    assert "| `heat` | never | never | – | – |" in lines
    assert "| never at the level of Adam's rates | 1 of 2 | 0 of 1 |" in lines
