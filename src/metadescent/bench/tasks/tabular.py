"""Tables of records: three that come with scikit-learn, and some that are drawn."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from metadescent.bench.task import Split, Task

if TYPE_CHECKING:
    from metadescent.bench.models.supervised import Objective


def make_table(
    data_dir: Path | None = None,
    *,
    table: str,
    widths: tuple[int, ...],
    objective: "Objective",
    activation: str = "relu",
    batch_size: int,
) -> Split:
    """Return the task of training a perceptron on a table that comes with scikit-learn."""
    from metadescent.bench.data import tables
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.perceptron import MLP
    from metadescent.bench.models.supervised import Supervised

    del data_dir  # The tables are where scikit-learn is.
    model = Supervised(MLP(widths, activation), objective)
    sets = getattr(tables, table)()
    return split_of(model, sets.train, sets.held_out, batch_size)


def make_linear(
    data_dir: Path | None = None,
    *,
    inputs: int,
    condition: float,
    noise: float,
    freedom: float | None = None,
    batch_size: int = 64,
) -> Split:
    """Return the task of least squares on correlated inputs."""
    from metadescent.bench.data.synthetic import linear
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.perceptron import MLP
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    draw = partial(linear, n=inputs, condition=condition, noise=noise, freedom=freedom)
    return split_drawn(Supervised(MLP((inputs, 1)), "squared"), draw, batch_size)


def make_logistic(data_dir: Path | None = None) -> Split:
    """Return the task of logistic regression on correlated inputs."""
    from metadescent.bench.data.synthetic import labelled
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.perceptron import MLP
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    draw = partial(labelled, n=50, condition=1e3)
    return split_drawn(Supervised(MLP((50, 1)), "logistic"), draw, 64)


def make_records(data_dir: Path | None = None) -> Split:
    """Return the task of a wide hidden layer on numbers and the embeddings of categories."""
    from metadescent.bench.data.synthetic import records
    from metadescent.bench.fitting import split_drawn
    from metadescent.bench.models.categorical import Categorical
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    numbers, categories = 8, (4, 8, 16, 32, 64, 128)
    model = Supervised(Categorical(numbers, categories, 4, 256), "logistic")
    draw = partial(records, numbers=numbers, categories=categories)
    return split_drawn(model, draw, 128)


def _of_table(summary: str, **options: object) -> Task:
    return Task("tabular", summary, partial(make_table, **options))


NAMED = {
    "breast-cancer": _of_table(
        "MLP 30-16-1 on the breast cancer table, logistic loss",
        table="breast_cancer",
        widths=(30, 16, 1),
        objective="logistic",
        batch_size=32,
    ),
    "wine": _of_table(
        "MLP 13-16-3 on the wine table, tanh",
        table="wine",
        widths=(13, 16, 3),
        objective="softmax",
        activation="tanh",
        batch_size=16,
    ),
    "diabetes": _of_table(
        "MLP 10-32-1 on the diabetes table, squared error",
        table="diabetes",
        widths=(10, 32, 1),
        objective="squared",
        batch_size=32,
    ),
    "least-squares": Task(
        "tabular",
        "least squares, 50 rotated inputs, condition number 10⁴",
        partial(make_linear, inputs=50, condition=1e4, noise=0.1),
    ),
    "heavy-tails": Task(
        "tabular",
        "least squares, 30 inputs, noise by Student's law with 2 degrees of freedom",
        partial(make_linear, inputs=30, condition=10.0, noise=0.5, freedom=2.0, batch_size=16),
    ),
    "logistic": Task(
        "tabular", "logistic regression, 50 rotated inputs, condition number 10³", make_logistic
    ),
    "categories": Task(
        "tabular", "embeddings of six categories and a hidden layer of 256, ReLU", make_records
    ),
}
