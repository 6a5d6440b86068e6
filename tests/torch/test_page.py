"""The page on PyTorch keeps its word: its code runs, one block after the other, and learns."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()


def test_the_code_runs_and_the_example_learns() -> None:
    pytest.importorskip("sklearn")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks):
        exec(compile(code, f"docs/pytorch.md, block {number}", "exec"), names)
    assert len(blocks) == 6
    assert names["loss"].item() < 1.0  # log 10 = 2.3 at first
    assert names["guarded_loss"].item() < 1.0
    assert names["optimizer"].guarded["not_finite"] == 0


@pytest.mark.slow
def test_without_the_guard_the_wide_network_diverges() -> None:
    pytest.importorskip("sklearn")
    first, *blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (guarded,) = (code for code in blocks if "guard=True" in code)
    names: dict[str, Any] = {"__name__": "page"}
    for code in (first, guarded.replace("guard=True", "guard=False")):
        exec(compile(code, "docs/pytorch.md", "exec"), names)
    assert names["guarded_loss"].item() > 10.0
