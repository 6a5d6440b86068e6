"""The logger of docs/extending.md does what the page says of it."""

import re
from collections.abc import Callable
from pathlib import Path

from metadescent.runs.log import read_metrics
from metadescent.runs.recipe import Recipe

PAGE = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=2,
    episodes=2,
    validation_problems=2,
)


def test_it_says_when_a_run_has_a_better_optimizer(
    metadescent: Callable, flags_of: Callable
) -> None:
    (code,) = re.findall(r"## A logger of your own.*?```python\n(.*?)```", PAGE, re.DOTALL)
    (word,) = re.findall(r"metadescent train mnist (--log \S+)`", PAGE)
    Path("best.py").write_text(code, encoding="utf-8")
    words = ["train", "quadratic(dimension=2)", "--out", "r", *flags_of(RECIPE)]
    status, out, said = metadescent(*words, *word.split())
    assert status == 0, said
    best, expected = float("inf"), []
    for line in read_metrics(Path("r")):
        if line["best_loss"] < best:
            best = line["best_loss"]
            expected.append(f"r, epoch {line['epoch']}: {best:.3g}")
    assert expected
    assert [text for text in out.splitlines() if text.startswith("r, epoch")] == expected
    assert "r finished" in out.splitlines()
    assert Path("r", "metrics.csv").exists()
    # Resumed, it knows the best of before.
    assert metadescent("train", "--resume", "r", *word.split())[1].splitlines()[0] == "r finished"
