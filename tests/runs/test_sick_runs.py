"""Seven runs made sick on purpose get their verdicts; three healthy ones get none of these.

The runs are as small as they can be and still be trained. No threshold of the doctor was chosen by
what they show: each follows from what a number means, as `metadescent.runs.doctor` says.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.convex import Convex
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_optimizer
from metadescent.runs import doctor
from metadescent.runs.checkup import best_of, examine, read_checkup
from metadescent.runs.doctor import diagnose
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import NonFiniteError, train
from metadescent.zoo import file as artifact

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    optimizer="lstm(layers=(4,), p=None, scale=0.3)",
    steps=20,
    unroll=5,
    problems=32,
    epochs=5,
    episodes=20,
    meta_rate=0.01,
    validation_problems=64,
)
PREPROCESSED = "lstm(layers=(4,), p=10.0, scale=0.1)"
SICK = (
    doctor.BAD_DATA,
    doctor.ONE_FUNCTION,
    doctor.DEAD,
    doctor.BLIND,
    doctor.SHORT_SIGHTED,
    doctor.META_RATE,
    doctor.OVERFITTED,
)


class Fit(Optimizee):
    """The mean square of X θ − y on minibatches of rows."""

    X: jax.Array
    y: jax.Array

    def init(self, key):
        return 0.1 * jax.random.normal(key, (2,))

    def loss(self, theta, key):
        rows = jax.random.randint(key, (4,), 0, len(self.y))
        return jnp.mean((self.X[rows] @ theta - self.y[rows]) ** 2)


class Regression(Problem):
    """Least squares on fifty rows, one of which may be NaN."""

    X: jax.Array
    y: jax.Array

    def sample(self, key):
        del key
        return Fit(self.X, self.y)


X = jax.random.normal(jax.random.key(7), (50, 2))
REGRESSION = Regression(X, X @ jnp.asarray([1.0, -2.0]))
WITH_NAN = Regression(X.at[7].set(jnp.nan), REGRESSION.y)


class Times(Optimizee):
    f: Optimizee
    factor: jax.Array

    def init(self, key):
        return self.f.init(key)

    def loss(self, theta, key):
        return self.factor * self.f.loss(theta, key)


class Quadratics(Problem):
    """Quadratics times a factor, or one of them whatever the key; all in the same programs."""

    factor: jax.Array
    same: jax.Array

    def sample(self, key):
        key = jnp.where(self.same, jax.random.key(3), key)
        return Times(Quadratic(dimension=2).sample(key), self.factor)


QUADRATICS = Quadratics(jnp.asarray(1.0), jnp.asarray(False))
FAINT = Quadratics(jnp.asarray(1e-8), jnp.asarray(False))
SAME = Quadratics(jnp.asarray(1.0), jnp.asarray(True))


class Valley(Optimizee):
    """A slow direction, and a steep one that θ₀ is almost at the bottom of.

    Rates beyond 2/20 are unstable in the steep direction. In five steps it hardly shows, and they
    pay in the slow direction: the sum of five losses is least at a rate of 0.168, as a grid search
    over 5000 rates found. In ten steps it is all that shows.
    """

    bottom: jax.Array

    def init(self, key):
        return self.bottom + jax.random.rademacher(key, (2,)) * jnp.asarray([1.0, 1e-3])

    def loss(self, theta, key):
        del key
        return 0.5 * jnp.sum(jnp.asarray([1.0, 20.0]) * (theta - self.bottom) ** 2)


class Valleys(Problem):
    def sample(self, key):
        return Valley(jax.random.normal(key, (2,)))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the rates of baselines are kept: several of the runs are on the same problem."""
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture
def verdicts(tmp_path: Path, cache: Path) -> Callable:
    """Train and return what the doctor says of it."""

    def of(problem: Problem, recipe: Recipe = RECIPE, **changes: object) -> list[str]:
        folder, recipe = tmp_path / "run", replace(recipe, **changes)
        try:
            for _ in train(folder, problem, "a problem", plan_of(recipe)):
                pass
        except NonFiniteError:
            pass
        examination = examine(best_of(folder, recipe), problem, recipe, num_seeds=32, cache=cache)
        findings = diagnose(read_checkup(folder)._replace(examination=examination))
        for finding in findings:
            print(*finding, sep="\n    ")
            assert finding.numbers
            explained = len(findings) > 1 and finding is findings[-1]
            assert finding.remedy or explained or finding.verdict == doctor.LEARNED
        return [finding.verdict for finding in findings]

    return of


def test_a_meta_rate_a_hundred_times_too_high(verdicts: Callable) -> None:
    assert doctor.META_RATE in verdicts(QUADRATICS, meta_rate=1.0)


def test_a_phi_of_zeros_has_a_dead_output(verdicts: Callable, tmp_path: Path) -> None:
    zeros = jax.tree.map(jnp.zeros_like, make_optimizer(RECIPE.optimizer, jax.random.key(0)))
    artifact.save(tmp_path / "zeros.safetensors", zeros, optimizer=RECIPE.optimizer)
    said = verdicts(QUADRATICS, init=str(tmp_path / "zeros.safetensors"))
    assert doctor.DEAD in said
    assert doctor.NOT_YET in said


def test_nan_in_the_data(verdicts: Callable) -> None:
    assert verdicts(WITH_NAN, optimizer=PREPROCESSED) == [doctor.BAD_DATA]


def test_no_preprocessing_of_tiny_gradients(verdicts: Callable) -> None:
    said = verdicts(FAINT)
    assert doctor.BLIND in said
    assert doctor.DEAD not in said


def test_an_unroll_of_one(verdicts: Callable) -> None:
    assert doctor.SHORT_SIGHTED in verdicts(QUADRATICS, unroll=1)


def test_one_function_only(verdicts: Callable) -> None:
    assert doctor.ONE_FUNCTION in verdicts(SAME)


def test_diverging_past_the_horizon(verdicts: Callable) -> None:
    recipe = replace(
        RECIPE,
        optimizer="lstm(layers=(), p=None, scale=0.1)",
        steps=5,
        unroll=5,
        episodes=60,
        meta_rate=0.03,
        decay="constant",
        second_derivatives=True,
    )
    assert doctor.OVERFITTED in verdicts(Valleys(), recipe)


@pytest.mark.parametrize(
    ("problem", "optimizer"),
    [
        (QUADRATICS, RECIPE.optimizer),
        (REGRESSION, PREPROCESSED),
        (Convex(dimension=3), "rnnprop(layers=(4,), scale=0.1)"),
    ],
    ids=["quadratics", "regression", "convex"],
)
def test_the_healthy_are_not_called_sick(
    problem: Problem, optimizer: str, verdicts: Callable
) -> None:
    said = verdicts(problem, optimizer=optimizer)
    assert not set(SICK) & set(said)
    assert not any(verdict.startswith(doctor.DIVERGED) for verdict in said)
    assert said in ([doctor.LEARNED], [doctor.NOT_YET])
