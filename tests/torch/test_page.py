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
    assert len(blocks) == 5
    assert names["loss"].item() < 1.0  # log 10 = 2.3 at first
