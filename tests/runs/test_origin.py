"""A run goes on with the f, the data, the rule and the settings that it was begun with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_estimator, make_optimizer, make_problem
from metadescent.runs import origin
from metadescent.runs.folder import claim
from metadescent.runs.origin import check_origin, origin_of
from metadescent.runs.recipe import Recipe

M = LSTM((1,), key=jax.random.key(0))
CODE = """
import equinox as eqx
import helpers
import jax.numpy as jnp
from metadescent import Coordinatewise, FromFunction
from metadescent.meta.estimators.base import Estimator

def bowls(size=3):
    tasks = jnp.arange(1.0, 4.0)  # the data
    return FromFunction(lambda t, key, c: helpers.SCALE * jnp.sum((t - c) ** 2), start, tasks)

def start(key):
    return jnp.ones(2)

class Rule(Coordinatewise):
    rate: jnp.ndarray

    def __init__(self, *, key):
        self.rate = jnp.ones(())

    def init_coordinate(self):
        return ()

    def update_coordinates(self, gradient, state):
        return -self.rate * gradient, state

class Est(Estimator):
    def begin(self, m, problem, key):
        return ()

    def estimate(self, m, problem, carry, key, weights):
        phi = eqx.filter(m, eqx.is_array)
        return phi, carry, 5.0 * weights[:, None]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(CODE, encoding="utf-8")
    Path("helpers.py").write_text("SCALE = 2.0", encoding="utf-8")
    return tmp_path


def now(problem: str = "mine.py:bowls", rule: str = "mine.py:Rule") -> dict[str, Any]:
    m = make_optimizer(rule, jax.random.key(0))
    return origin_of(make_problem(problem), m, make_estimator("mine.py:Est"), 3)


def test_a_comment_changes_nothing(files: Path) -> None:
    claim(Path("r"), "mine.py:bowls", Recipe(), False, now())
    Path("mine.py").write_text(CODE + "# Well said.", encoding="utf-8")
    check_origin(Path("r"), now())


@pytest.mark.parametrize(
    ("file", "before", "after", "named"),
    [
        ("mine.py", "** 2", "** 4", "f is another function than the one that"),
        ("helpers.py", "2.0", "3.0", "f is another function than the one that"),
        ("mine.py", "jnp.ones(2)", "jnp.zeros(2)", "f is another function than the one that"),
        ("mine.py", "4.0)", "4.0) + 1", "the data of f are others than those that"),
        ("mine.py", "-self.rate", "-2 * self.rate", "the rule computes other updates than the"),
        ("mine.py", "5.0 *", "-5.0 *", "the estimator computes other meta-gradients than the one"),
    ],
    ids=["f", "what f imports", "θ₀", "data", "rule", "estimator"],
)
def test_what_has_changed_is_named(
    file: str, before: str, after: str, named: str, files: Path, sentence: Callable
) -> None:
    claim(Path("r"), "mine.py:bowls", Recipe(), False, now())
    Path(file).write_text(
        Path(file).read_text(encoding="utf-8").replace(before, after), encoding="utf-8"
    )
    assert sentence(check_origin, Path("r"), now()).startswith(named)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", not jax.config.jax_enable_x64),
        ("jax_default_prng_impl", "rbg"),
        ("jax_threefry_partitionable", False),
        ("jax_default_matmul_precision", "float32"),
    ],
)
def test_settings_of_jax_are_named_with_both_values(
    name: str, value: Any, files: Path, sentence: Callable
) -> None:
    before = getattr(jax.config, name)
    claim(Path("r"), "quadratic", Recipe(), False, origin_of(Quadratic(2), M))
    jax.config.update(name, value)
    try:
        assert sentence(check_origin, Path("r"), origin_of(Quadratic(2), M)) == (
            f"r was begun with {name} = {before} and it is {value}; set {name.upper()}={before}, "
            "or go on in another folder by --init r"
        )
    finally:
        jax.config.update(name, before)


def test_of_other_versions_it_is_said_and_programs_are_not_compared(
    files: Path, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    claim(Path("r"), "mine.py:bowls", Recipe(), False, now())
    monkeypatch.setattr(origin, "versions", lambda: {"jax": "99"})
    Path("helpers.py").write_text("SCALE = 3.0", encoding="utf-8")
    said: list[str] = []
    check_origin(Path("r"), now(), said.append)
    assert said == [f"r was begun by jax {jax.__version__}, now 99, which may compute otherwise"]
    Path("mine.py").write_text(CODE.replace("4.0)", "4.0) + 1"), encoding="utf-8")
    assert "the data of f" in sentence(check_origin, Path("r"), now(), said.append)
