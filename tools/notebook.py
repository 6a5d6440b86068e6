"""Build a notebook from a script whose cells begin with `# %%`.

    python tools/notebook.py examples/notebook/five_minutes.py five_minutes.ipynb

A cell after `# %% [markdown]` is text, and each of its lines begins with `# `. Any other cell is
code. The notebook has no outputs, and the same script makes the same file, bit for bit. Jupytext,
and editors that know such cells, open the script itself.
"""

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

MARK = re.compile(r"^# %%(.*)\n", re.MULTILINE)


class Cell(NamedTuple):
    """A cell of a notebook: "markdown" or "code", and its source."""

    kind: str
    source: str


def cells_of(script: str) -> list[Cell]:
    """Return the cells of a script, of which nothing may stand before the first."""
    before, *parts = MARK.split(script)
    if before.strip():
        raise SystemExit(f"{before.strip().splitlines()[0]!r} is before the first '# %%'")
    cells = []
    for title, source in zip(parts[::2], parts[1::2], strict=True):
        is_text = title.strip() == "[markdown]"
        if is_text:
            source = re.sub(r"^# ?", "", source, flags=re.MULTILINE)
        cells.append(Cell("markdown" if is_text else "code", source.strip("\n")))
    return cells


def notebook_of(cells: list[Cell]) -> dict[str, Any]:
    """Return a notebook of format 4.5, without outputs."""
    written = []
    for number, (kind, source) in enumerate(cells):
        # Jupyter wants an id of each cell; this one changes with the cell alone.
        name = hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:8]
        cell = {"cell_type": kind, "id": name, "metadata": {}}
        lines = source.splitlines(keepends=True)
        code = {"execution_count": None, "outputs": []} if kind == "code" else {}
        written.append(cell | code | {"source": lines})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Read a script and write a notebook."""
    parser = argparse.ArgumentParser(description="Build a notebook from a script of cells.")
    parser.add_argument("script", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    notebook = notebook_of(cells_of(given.script.read_text(encoding="utf-8")))
    text = json.dumps(notebook, ensure_ascii=False, indent=1)
    given.out.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
