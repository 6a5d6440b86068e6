"""A task of one parabola, whose curves are known."""

import jax
import jax.numpy as jnp
import pytest

from metadescent.bench.task import Split, Task
from metadescent.problems.from_function import FromFunction

TARGETS = jnp.asarray([1.0, 3.0])


def parabolas(factor: float = 1.0) -> FromFunction:
    """f(θ) = factor · (θ − a)² / 2 from θ₀ = 0, of which a is one of `TARGETS`."""
    return FromFunction(
        lambda theta, key, a: factor * 0.5 * (theta[0] - a) ** 2,
        lambda key: jnp.zeros(1),
        TARGETS,
    )


@pytest.fixture
def split() -> Split:
    return Split(parabolas(), parabolas(), parabolas(2.0))


@pytest.fixture
def tasks(split: Split, monkeypatch: pytest.MonkeyPatch) -> dict[str, Task]:
    """The bench has this task and nothing else."""
    known = {"parabola": Task("physics", "a parabola", lambda data_dir: split)}
    monkeypatch.setattr("metadescent.runs.benching.every_task", lambda: known)
    return known


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)
