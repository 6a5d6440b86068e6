"""A stranger's script trains with an optimizer of metadescent's in one line, as far as is said."""

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.problems.data import load_mnist

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "examples" / "strangers").glob("*.py"))
# Of each script the losses that the page has: Adam's, and those of pretrained optimizers.
TABLE = {
    script: [float(loss) if loss else math.nan for loss in losses]
    for script, *losses in re.findall(
        r"^\| `(\w+)` \|[^|]*\|" + 4 * r" \**([\d.]*)[^|]*\|",
        (ROOT / "docs" / "choosing.md").read_text(),
        re.MULTILINE,
    )
}
# Networks of which a step of a learned optimizer is long.
LARGE = {"quickstart_torch", "tutorial_flax"}

each = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def tool() -> Any:
    path = ROOT / "tools" / "strangers.py"
    spec = importlib.util.spec_from_file_location("strangers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_script_is_in_the_table() -> None:
    assert sorted(TABLE) == [path.stem for path in SCRIPTS]


@each
def test_one_line_changes(path: Path, tool: Any) -> None:
    text = path.read_text(encoding="utf-8")
    made = tool.variants(text)
    assert list(made) == ["Adam", *tool.LEARNED]
    assert text in made.values()
    for name, other in made.items():
        lines = zip(text.splitlines(), other.splitlines(), strict=True)
        changed = [new for old, new in lines if old != new]
        assert len(changed) == (other != text)
        assert all(("adam(" in line.lower()) == (name == "Adam") for line in changed)


def text_of(script: str, tool: Any) -> str:
    pytest.importorskip(script.rpartition("_")[2])
    try:
        load_mnist()
    except UserError as error:
        pytest.skip(f"no data: {error}")
    return (tool.FOLDER / f"{script}.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("script", [path.stem for path in SCRIPTS if path.stem not in LARGE])
def test_at_step_100_the_loss_is_below_adam_s_where_the_table_says_so(
    script: str, tool: Any
) -> None:
    losses = {
        name: float(tool.final_loss(tool.run(variant, range(1)))[0])
        for name, variant in tool.variants(text_of(script, tool)).items()
    }
    adam, *learned = TABLE[script]
    assert 0 < losses["Adam"] < math.log(10)
    for name, said in zip(tool.LEARNED, learned, strict=True):
        # Where they differ by less, one seed may say either.
        if abs(math.log(said / adam)) > 0.2:
            assert (losses[name] < losses["Adam"]) == (said < adam), (name, losses)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(LARGE))
def test_the_large_ones_take_steps(script: str, tool: Any) -> None:
    """A hundred of them are the tool's business."""
    losses = tool.run(text_of(script, tool), range(1), steps=3)
    assert losses.shape == (1, 3)
    assert np.isfinite(losses).all()
