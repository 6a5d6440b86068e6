"""The options that ask for a wrapper: what is wrapped in what, and by which names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.base import Problem
from metadescent.problems.classifier import Classifier, MLPClassification
from metadescent.problems.convex import Bowl, Convex, make_convex
from metadescent.problems.digits import make_digits
from metadescent.problems.dressed import dress
from metadescent.problems.fan_in import FanIn
from metadescent.problems.logarithm import EPSILON, Logarithm, LogFunction
from metadescent.problems.mnist import make_mnist
from metadescent.problems.quadratic import Quadratic
from metadescent.problems.rescaled import Rescaled, RescaledFunction
from metadescent.problems.together import Together
from metadescent.registry import make_problem

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, [Convex]),
        ({"log": True}, [Logarithm, Convex]),
        ({"rescale": 0.5}, [Rescaled, Convex]),
        ({"rescale": 0.5, "log": True}, [Logarithm, Rescaled, Convex]),
    ],
    ids=str,
)
def test_a_problem_is_dressed_from_the_inside_out(
    options: dict[str, Any], kinds: list[type]
) -> None:
    problem, wrappers = dress(Convex(dimension=2), **options), []
    while True:
        wrappers.append(type(problem))
        if isinstance(problem, Rescaled):
            assert problem.r == 0.5
        if not isinstance(problem, Logarithm | Rescaled):
            break
        problem = problem.problem
    assert wrappers == kinds


def test_dressed_in_both_it_is_the_logarithm_of_the_rescaled(assert_close: Callable) -> None:
    both: Any = dress(Quadratic(dimension=3), rescale=2.0, log=True).sample(KEY)
    theta = both.init(KEY)
    unscaled = both.f.c * theta
    assert_close(unscaled, both.f.f.init(KEY))
    assert_close(both.loss(theta, KEY), jnp.log(both.f.f.loss(unscaled, KEY) + EPSILON))


class Large(Convex):
    @property
    def at_once(self) -> int | None:
        return 3


@pytest.mark.parametrize("wrap", [dress, FanIn, lambda f: Together([Convex(dimension=2), f])])
def test_what_is_large_is_so_within_a_wrapper(wrap: Callable[[Problem], Problem]) -> None:
    whole = {"rescale": 0.5, "log": True} if wrap is dress else {}
    assert wrap(Large(dimension=2), **whole).at_once == 3
    assert wrap(Convex(dimension=2), **whole).at_once is None


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A folder with twenty images of noise in MNIST's own format."""
    images = np.random.default_rng(0).integers(0, 256, 20 * 784, dtype=np.uint8).tobytes()
    for name, head, values in (
        ("train-images-idx3-ubyte", [3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28], images),
        ("train-labels-idx1-ubyte", [1, 0, 0, 0, 20], bytes(range(10)) * 2),
    ):
        (tmp_path / name).write_bytes(bytes([0, 0, 8, *head]) + values)
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "mnist-relu", "digits", "convex"])
def test_the_command_line_asks_for_it_by_options(name: str, small_mnist: Path) -> None:
    if name == "digits":
        pytest.importorskip("sklearn")
    f = make_problem(f"{name}(log=True, rescale=1.5)", small_mnist).sample(KEY)
    assert isinstance(f, LogFunction)
    assert isinstance(f.f, RescaledFunction)
    assert isinstance(f.f.f, Bowl if name == "convex" else Classifier)
    logs = np.concatenate([np.log(c).ravel() for c in jax.tree.leaves(f.f.c)])
    assert 1.0 < np.abs(logs).max() <= 1.5 + 1e-5
    assert isinstance(make_problem(name, small_mnist).sample(KEY), Bowl | Classifier)


def test_without_options_nobody_is_dress(small_mnist: Path) -> None:
    pytest.importorskip("sklearn")
    for problem in (make_mnist(data_dir=small_mnist), make_digits(), make_convex()):
        assert isinstance(problem, MLPClassification | Convex)
        assert not isinstance(problem.sample(KEY), LogFunction | RescaledFunction)
