"""What tests of comparisons and of the cache share; nothing here imports metadescent early."""

from typing import Any

import pytest


class Searches:
    """Stands in for `tune`: remembers what it was asked for, and returns one outcome."""

    def __init__(self, outcome: Any) -> None:
        self.asked: list[Any] = []
        self.outcome = outcome

    def __call__(
        self, name: str, problem: Any, key: Any, progress: Any = None, **sizes: int
    ) -> Any:
        import jax

        self.asked.append((name, jax.random.key_data(key).tolist(), sizes))
        return self.outcome


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    """The stand-in, in place of every search."""
    from metadescent.descent import tuning_cache
    from metadescent.descent.tuning import Tuned

    stand_in = Searches(Tuned(0.1, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "a criterion"))
    monkeypatch.setattr(tuning_cache, "tune", stand_in)
    return stand_in
