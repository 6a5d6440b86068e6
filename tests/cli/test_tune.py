"""`tune`: the best rate is inside the grid, and is kept."""

from collections.abc import Callable
from typing import Any

import pytest

from metadescent.descent import tuning_cache
from metadescent.descent.tuning import Tuned


def test_tune_prints_the_best_rate_and_the_grid_and_keeps_them(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tune", "sgd", "quadratic", "--steps", "4", "--seeds", "3")
    status, out, _ = metadescent(*words)
    assert status == 0
    (best,) = (line.split()[0] for line in out.splitlines() if line.rstrip().endswith(" best"))
    assert f"Best rate {best}" in out
    rates = [line.split()[0] for line in out.splitlines() if line.startswith((" 0.", " 1"))]
    assert rates.index(best) not in (0, len(rates) - 1)

    def search(*_: Any, **__: Any) -> Tuned:
        raise AssertionError("searched again")

    monkeypatch.setattr(tuning_cache, "tune", search)
    assert metadescent(*words)[1] == out
    status, _, said = metadescent(*words, "--seed", "1")
    assert status == 1
    assert "searched again" in said
