"""The notebook of five minutes: its script has the cells, a tool makes the file, and it runs."""

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "notebook" / "five_minutes.py"
TOOL = ROOT / "tools" / "notebook.py"
TEXT = SCRIPT.read_text(encoding="utf-8")
TINY = {"MINUTES = 2.0": "MINUTES = 0.01", "SEEDS = 64": "SEEDS = 2", "STEPS = 100": "STEPS = 5"}
cells_of = runpy.run_path(str(TOOL))["cells_of"]


def test_the_file_has_the_cells_of_the_script(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.ipynb", "two.ipynb")]
    for out in paths:
        subprocess.run([sys.executable, str(TOOL), str(SCRIPT), str(out)], check=True)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    notebook = json.loads(paths[0].read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    assert [("".join(cell["source"]), cell["cell_type"]) for cell in cells] == [
        (source, kind) for kind, source in cells_of(TEXT)
    ]
    assert len({cell["id"] for cell in cells}) == len(cells)
    # The keys that Jupyter's schema asks for, and no others.
    common = {"cell_type", "id", "metadata", "source"}
    for cell in cells:
        code = cell["cell_type"] == "code"
        assert cell.keys() == common | ({"execution_count", "outputs"} if code else set())


def test_cells_are_told_apart_and_nothing_is_lost() -> None:
    script = "# %% [markdown]\n# # A title\n#\n# text\n\n# %%\nx = 1  # %% no mark\n\n\n# %%\nx\n"
    assert cells_of(script) == [
        ("markdown", "# A title\n\ntext"),
        ("code", "x = 1  # %% no mark"),
        ("code", "x"),
    ]
    with pytest.raises(SystemExit, match=r"^'import jax' is before the first '# %%'$"):
        cells_of("import jax\n# %%\n")


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(SCRIPT), "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), str(SCRIPT), "eval"), names)


@pytest.mark.slow
# With so little time it may learn nothing, and says so.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_runs_from_the_first_cell_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    text = TEXT
    for value, small in TINY.items():
        assert value in text
        text = text.replace(value, small)
    names: dict[str, Any] = {"__name__": "notebook"}
    values = [shown(source, names) for kind, source in cells_of(text) if kind == "code"]
    pages = {type(value).__name__: value._repr_html_() for value in values if value is not None}
    assert pages.keys() == {"Learned", "Comparison", "Run", "Findings", "Card"}
    for name, page in pages.items():
        # The picture is the last part of what is shown; findings are words.
        assert ("<svg" in page or "<img" in page) == (name != "Findings"), name
    assert "in the end" in capsys.readouterr().out
