"""Equations: differential ones, matrices of low rank, teachers, and a quadratic with noise."""

from functools import partial
from pathlib import Path

from metadescent.bench.task import Split, Task


def make_lotka_volterra(data_dir: Path | None = None) -> Split:
    """Return the task of estimating four rates from populations over time."""
    from metadescent.bench.data.synthetic import observed
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.lotka_volterra import LotkaVolterra
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    system = LotkaVolterra(times=10, interval=0.3)
    draw = partial(observed, system=system, noise=0.1)
    return split_drawn(Supervised(system, "squared"), draw, 16)


def make_heat(data_dir: Path | None = None) -> Split:
    """Return the task of solving the heat equation by a network."""
    import numpy as np

    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.heat import HeatEquation
    from metadescent.bench.models.perceptron import MLP

    del data_dir
    inside = np.random.default_rng(0).random((4096, 2), np.float32)
    # The centres of 32 × 32 squares.
    places = (np.arange(32, dtype=np.float32) + 0.5) / 32
    grid = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    return split_of(HeatEquation(MLP((2, 24, 24, 1), "tanh")), inside, grid, 64)


def make_matrix(data_dir: Path | None = None) -> Split:
    """Return the task of completing a matrix of low rank from noisy entries."""
    from metadescent.bench.data.synthetic import entries_of_matrix
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.factorised import Factorised
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    shape = (100, 80)
    draw = partial(entries_of_matrix, shape=shape, rank=4, noise=0.1)
    return split_drawn(Supervised(Factorised(shape, 6), "squared"), draw, 128)


def make_likings(data_dir: Path | None = None) -> Split:
    """Return the task of predicting who likes what, from embeddings of people and things."""
    from metadescent.bench.data.synthetic import likings
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.factorised import Factorised
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    shape = (1000, 500)
    draw = partial(likings, shape=shape, rank=4)
    model = Supervised(Factorised(shape, 8, has_biases=True), "logistic")
    return split_drawn(model, draw, 64)


def make_deep_linear(data_dir: Path | None = None) -> Split:
    """Return the task of fitting a linear map by a product of five matrices."""
    from metadescent.bench.data.synthetic import mapped
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.perceptron import DeepLinear
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    draw = partial(mapped, n=16, noise=0.1)
    return split_drawn(Supervised(DeepLinear((16,) * 6), "squared"), draw, 64)


def make_student(data_dir: Path | None = None) -> Split:
    """Return the task of a student that learns from a teacher of another architecture."""
    from metadescent.bench.data.synthetic import taught
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.perceptron import MLP
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    draw = partial(taught, n=20, units=8, noise=0.3)
    return split_drawn(Supervised(MLP((20, 64, 1)), "squared"), draw, 64)


def make_quadratic(data_dir: Path | None = None) -> Split:
    """Return the task of minimizing a quadratic from noisy gradients."""
    from metadescent.bench.data.synthetic import centres
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.noisy_quadratic import NoisyQuadratic

    del data_dir
    n = 100
    return split_drawn(NoisyQuadratic(n), partial(centres, n=n, noise=0.3), 8)


NAMED = {
    "lotka-volterra": Task(
        "physics", "four rates of the Lotka–Volterra equations from paths", make_lotka_volterra
    ),
    "heat": Task("physics", "the heat equation by an MLP 2-24-24-1, tanh", make_heat),
    "matrix": Task(
        "synthetic", "completing a matrix of 100 × 80 of rank 4 by two factors", make_matrix
    ),
    "likings": Task(
        "synthetic", "collaborative filtering, 1000 people and 500 things", make_likings
    ),
    "deep-linear": Task("synthetic", "a linear map of 16 × 16 by five matrices", make_deep_linear),
    "student": Task("synthetic", "a student 20-64-1 of a teacher 20-8-1, noise 0.3", make_student),
    "noisy-quadratic": Task(
        "synthetic", "a quadratic of condition number 100 with noisy gradients", make_quadratic
    ),
}
