"""`list`: everything that can be named."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import jax
import pytest

from metadescent import zoo
from metadescent.registry import optimizers, problems
from metadescent.runs.recipe import Recipe
from metadescent.zoo import catalogue

CARD = """# theirs

For quadratics.

| | |
|---|---|
| licence | Apache-2.0 |
| made again by | `metadescent train quadratic --epochs 2` |

## On 7 fresh problems, 4 steps

| | rate | final loss | 95 % | last tenth | sum |
|---|---|---|---|---|---|
| theirs | learned | 0.5 | 0.4 – 0.6 | 0.7 | 9.0 |
| sgd | 0.1 | 2.5 | 2.4 – 2.6 | 2.7 | 19.0 |
| adam | 0.1 | 1.5 | 1.4 – 1.6 | 1.7 | 29.0 |
"""


def test_list_names_everything_that_can_be_named(
    save: Callable,
    tiny: dict,
    metadescent: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = save(
        tmp_path / "zoo" / "theirs.safetensors",
        trained_on="quadratic",
        recipe=asdict(Recipe(**tiny)),
        test={"seeds": 7},
    )
    path.with_suffix(".md").write_text(CARD)
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "zoo")
    status, out, _ = metadescent("list")
    assert status == 0
    named = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert {*problems(), *optimizers(), "theirs"} <= named
    count = sum(leaf.size for leaf in jax.tree.leaves(zoo.load("theirs")))
    lines = [line.strip() for line in out.splitlines()]
    assert lines[lines.index("theirs") + 1 :] == [
        "trained on  quadratic, 4 steps",
        f"size        {count:,} parameters, {path.stat().st_size / 1000:.0f} kB",
        "loss        0.5 (0.4 – 0.6) on 7 problems",
        "best tuned  1.5 (1.4 – 1.6), adam",
        "licence     Apache-2.0",
        "made by     metadescent train quadratic --epochs 2",
        "",
    ]
