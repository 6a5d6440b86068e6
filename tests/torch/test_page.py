"""The page on PyTorch keeps its word: its code runs, one block after the other, and learns."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(blocks: list[str]) -> dict[str, Any]:
    """The names that there are after these blocks."""
    pytest.importorskip("sklearn")
    names: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks):
        exec(compile(code, f"docs/pytorch.md, block {number}", "exec"), names)
    return names


def test_the_code_runs_and_the_example_learns() -> None:
    blocks = [code for code in BLOCKS if "guard=True" not in code]
    assert len(blocks) == 5
    assert run(blocks)["loss"].item() < 1.0  # log 10 = 2.3 at first


@pytest.mark.parametrize("guard", [True, False])
def test_on_a_wide_network_the_rule_learns_with_its_guard_and_diverges_without(guard: bool) -> None:
    (code,) = (code for code in BLOCKS if "guard=True" in code)
    names = run([BLOCKS[0], code.replace("guard=True", f"guard={guard}")])
    loss, counts = names["guarded_loss"].item(), names["optimizer"].guarded
    assert loss < 1.0 if guard else loss > 10.0
    assert (counts["replaced"] > 0) == guard
    assert counts["not_finite"] == 0
