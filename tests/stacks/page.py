"""The examples of `docs/stacks.md`, by the heading that they stand under."""

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "stacks.md").read_text(encoding="utf-8")
BLOCKS = {
    heading: re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for heading, text in re.findall(
        r"^##+ (.+?)\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}
# Before those of a library that computes by it.
FIRST = {"PyTorch": BLOCKS["PyTorch"][:1], "JAX": BLOCKS["JAX"]}


def run(first: str, *headings: str, replaced: dict[str, str] | None = None) -> dict[str, Any]:
    """The names that there are once the examples under these headings have run."""
    names: dict[str, Any] = {"__name__": "page"}
    examples = [(first, code) for code in FIRST[first]]
    examples += [(heading, code) for heading in headings for code in BLOCKS[heading]]
    for number, (heading, code) in enumerate(examples):
        for old, new in (replaced or {}).items():
            code = code.replace(old, new)
        exec(compile(code, f"docs/stacks.md, {heading}, block {number}", "exec"), names)
    return names
