"""What tests of all experiments share."""

import jax
import pytest


@pytest.fixture(autouse=True)
def cleared(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Keep the programs of other tests; one entry for each time that they would have gone."""
    times: list[None] = []
    monkeypatch.setattr(jax, "clear_caches", lambda: times.append(None))
    return times
