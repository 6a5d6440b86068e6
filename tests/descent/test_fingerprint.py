"""A fingerprint tells problems apart by their options, their data and their code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.fingerprint import fingerprint_of
from metadescent.problems.base import Problem
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.convex import Convex
from metadescent.problems.fan_in import FanIn
from metadescent.problems.from_function import FromFunction
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.rescaled import Rescaled
from metadescent.problems.together import Together
from metadescent.registry import make_problem

MINE = """
import jax.numpy as jnp
from metadescent.problems.base import Optimizee, Problem

class Bowl(Optimizee):
    def init(self, key):
        return jnp.ones(2)

    def loss(self, theta, key):
        return jnp.sum(theta**2)

class Bowls(Problem):
    def sample(self, key):
        return Bowl()
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "my_bowls.py"
    path.write_text(MINE)
    return path


def test_a_fingerprint_tells_options_data_and_code_apart(mine: Path) -> None:
    images, labels = np.zeros((4, 2), np.uint8), np.arange(4) % 2
    other = images.copy()
    other[3, 1] = 1
    prints = [
        fingerprint_of(problem)
        for problem in (
            make_problem("quadratic"),
            make_problem("quadratic(dimension=3)"),
            make_problem("quadratic-uniform"),
            make_problem(f"{mine}:Bowls"),
            MLPClassification(images, labels),
            MLPClassification(other, labels),
            MLPClassification(images.reshape(2, 4), labels[:2]),
            MLPClassification(images, labels, hidden=(3,)),
        )
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint_of(make_problem("quadratic")) == prints[0]
    assert fingerprint_of(MLPClassification(images.copy(), labels)) == prints[4]


def test_a_fingerprint_is_of_functions_wherever_a_problem_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "kept.py"
    path.write_text(KEPT)
    written = [f"{path}:{kind}(c={c})" for kind in ("Static", "Leaf", "Listed") for c in (1.0, 2.0)]
    once, again = ([fingerprint_of(make_problem(spec)) for spec in written] for _ in range(2))
    assert once == again
    assert len(set(once)) == len(once)


KEPT = """
import equinox as eqx, jax, jax.numpy as jnp
from metadescent import Optimizee, Problem

class Bowl(Optimizee):
    height: jax.Array

    def init(self, key):
        return jnp.ones(1)

    def loss(self, theta, key):
        return self.height * jnp.sum(theta**2)

class Static(Problem):
    draw: object = eqx.field(static=True)

    def __init__(self, c=1.0):
        self.draw = lambda key: c * jax.random.uniform(key)

    def sample(self, key):
        return Bowl(self.draw(key))

class Leaf(Problem):
    draw: object

    def __init__(self, c=1.0):
        self.draw = lambda key: c * jax.random.uniform(key)

    def sample(self, key):
        return Bowl(self.draw(key))

class Listed(Problem):
    draw: tuple = eqx.field(static=True)

    def __init__(self, c=1.0):
        self.draw = (lambda key: c * jax.random.uniform(key),)

    def sample(self, key):
        return Bowl(self.draw[0](key))
"""


def test_a_fingerprint_is_of_all_parts(mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / mine.name
    other.parent.mkdir()
    other.write_text(MINE.replace("theta**2", "2 * theta**2"))
    bowls, steeper = (make_problem(f"{path}:Bowls") for path in (mine, other))
    images, labels = np.zeros((4, 2), np.uint8), np.arange(4) % 2
    wraps: list[Callable[[Problem], Problem]] = [
        lambda p: p,
        Logarithm,
        Rescaled,
        lambda p: Rescaled(p, 1.0),
        FanIn,
        lambda p: Logarithm(Rescaled(p)),
        lambda p: Rescaled(Logarithm(p)),
        lambda p: Together([p]),
        lambda p: Together([Convex(), p]),
        lambda p: Together([p, Convex()]),
        lambda p: Together([Convex(), Logarithm(p)]),
    ]
    inner = [
        bowls,
        steeper,
        MLPClassification(images, labels),
        MLPClassification(images + 1, labels),
    ]
    prints = [fingerprint_of(wrap(problem)) for wrap in wraps for problem in inner]
    assert len(set(prints)) == len(prints)
    again = MLPClassification(images.copy(), labels)
    assert fingerprint_of(Together([Convex(), Logarithm(again)])) == prints[-2]


def test_a_fingerprint_is_of_the_file_and_not_of_its_name(mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / mine.name
    other.parent.mkdir()
    other.write_text(MINE.replace("theta**2", "2 * theta**2"))
    assert fingerprint_of(make_problem(f"{mine}:Bowls")) != fingerprint_of(
        make_problem(f"{other}:Bowls")
    )


FUNCTIONS = """
import jax.numpy as jnp
from metadescent import FromFunction

FACTOR = 3.0

def init(key):
    return jnp.ones(2)

def loss(theta, key):
    return FACTOR * jnp.sum(theta**2)

def scaled(size: float = 1.0):
    return FromFunction(lambda theta, key: size * loss(theta, key), init)
"""


def test_a_fingerprint_is_of_the_file_that_its_functions_are_in(tmp_path: Path) -> None:
    functions = tmp_path / "my_functions.py"
    functions.write_text(FUNCTIONS)
    spec = f"{functions}:scaled"
    once, again = fingerprint_of(make_problem(spec)), fingerprint_of(make_problem(spec))
    assert once == again
    assert fingerprint_of(make_problem(f"{spec}(size=2.0)")) != once
    functions.write_text(f"{FUNCTIONS}# The same program, in another file.")
    assert fingerprint_of(make_problem(spec)) != once
    functions.write_text(FUNCTIONS.replace("FACTOR = 3.0", "FACTOR = 4.0"))
    assert fingerprint_of(make_problem(spec)) != once


def test_a_fingerprint_is_of_what_was_typed_at_a_prompt() -> None:
    """Classes have no file there, and each definition of one is another."""
    prints = []
    for code in (MINE, MINE, MINE.replace("theta**2", "3 * theta**2")):
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(code, names)
        prints.append(fingerprint_of(names["Bowls"]()))
    assert prints[0] == prints[1] != prints[2]


def test_a_fingerprint_is_of_keys_and_narrow_numbers_as_data() -> None:
    def problem(seed: int, dtype: str = "float32") -> Problem:
        data = {"k": jax.random.split(jax.random.key(seed), 4), "x": jnp.ones(4, dtype)}
        return FromFunction(lambda t, key, d: jnp.sum(t**2), lambda key: jnp.ones(2), data)

    prints = [fingerprint_of(problem(*case)) for case in ((0,), (0,), (1,), (0, "bfloat16"))]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
