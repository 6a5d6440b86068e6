"""Examples that are drawn for each f, from a random teacher.

Each function draws a teacher and returns examples to train on, and others that are held out. Only
the former have noise added, so that a loss on the latter says how far the teacher is off. Labels
that are drawn with a teacher's odds are drawn so in both.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from metadescent.bench.models.lotka_volterra import LotkaVolterra
from metadescent.bench.models.noisy_quadratic import curvatures
from metadescent.problems.ill_conditioned import rotation

TRAIN, HELD_OUT = 4096, 1024

# Inputs and targets, one a row.
Pairs = tuple[Num[Array, "_ ..."], Float[Array, "_ ..."]]
# Numbers and categories, and their targets.
Records = tuple[tuple[Float[Array, "_ _"], Int[Array, "_ _"]], Float[Array, "_ 1"]]


def _parted(x: Array) -> tuple[Array, Array]:
    return x[:-HELD_OUT], x[-HELD_OUT:]


def _with_noise(
    x: Num[Array, "examples ..."],
    y: Float[Array, "examples ..."],
    noise: Float[Array, "examples ..."],
) -> tuple[Pairs, Pairs]:
    """Return pairs in two parts; only the part to train on has noise."""
    (x, x_held_out), (y, y_held_out) = _parted(x), _parted(y)
    return (x, y + noise[:TRAIN]), (x_held_out, y_held_out)


def correlated(key: PRNGKeyArray, n: int, condition: float) -> Float[Array, "examples n"]:
    """Draw inputs with a rotated covariance, whose eigenvalues go from 1 down to 1 / condition."""
    Q_key, x_key = jax.random.split(key)
    roots = jnp.asarray(condition) ** (-0.5 * jnp.linspace(0.0, 1.0, n))
    return jax.random.normal(x_key, (TRAIN + HELD_OUT, n)) * roots @ rotation(Q_key, n).T


def linear(
    key: PRNGKeyArray, n: int, condition: float, noise: float, freedom: float | None = None
) -> tuple[Pairs, Pairs]:
    """Draw y = w · x + noise; noise is Student's with `freedom` degrees, or normal without it."""
    x_key, w_key, noise_key = jax.random.split(key, 3)
    x = correlated(x_key, n, condition)
    y = x @ jax.random.normal(w_key, (n, 1))
    error = (
        jax.random.normal(noise_key, y.shape)
        if freedom is None
        else jax.random.t(noise_key, freedom, y.shape)
    )
    return _with_noise(x, y, noise * error)


def labelled(key: PRNGKeyArray, n: int, condition: float) -> tuple[Pairs, Pairs]:
    """Draw y ∈ {0, 1} with odds e^(w · x); w · x has the standard deviation 3."""
    x_key, w_key, y_key = jax.random.split(key, 3)
    x = correlated(x_key, n, condition)
    score = x @ jax.random.normal(w_key, (n, 1))
    return _tossed(y_key, x, 3 * score / score.std())


def _tossed(key: PRNGKeyArray, x: Array, score: Array) -> tuple[Pairs, Pairs]:
    y = (jax.random.uniform(key, score.shape) < jax.nn.sigmoid(score)).astype(score.dtype)
    (x, x_held_out), (y, y_held_out) = (_parted(values) for values in (x, y))
    return (x, y), (x_held_out, y_held_out)


def taught(key: PRNGKeyArray, n: int, units: int, noise: float) -> tuple[Pairs, Pairs]:
    """Draw y = a · tanh(W x), with a variance of about 1, plus noise."""
    x_key, w_key, a_key, noise_key = jax.random.split(key, 4)
    x = jax.random.normal(x_key, (TRAIN + HELD_OUT, n))
    w = 2 * jax.random.normal(w_key, (n, units)) / n**0.5
    y = jnp.tanh(x @ w) @ jax.random.normal(a_key, (units, 1)) / (0.7 * units**0.5)
    return _with_noise(x, y, noise * jax.random.normal(noise_key, y.shape))


def mapped(key: PRNGKeyArray, n: int, noise: float) -> tuple[Pairs, Pairs]:
    """Draw y = A x + noise; the singular values of A fall from 2 by a factor of ¾ each."""
    x_key, left_key, right_key, noise_key = jax.random.split(key, 4)
    x = jax.random.normal(x_key, (TRAIN + HELD_OUT, n))
    A = rotation(left_key, n) * (2 * 0.75 ** jnp.arange(n)) @ rotation(right_key, n)
    return _with_noise(x, x @ A, noise * jax.random.normal(noise_key, (len(x), n)))


def entries_of_matrix(
    key: PRNGKeyArray, shape: tuple[int, int], rank: int, noise: float
) -> tuple[Pairs, Pairs]:
    """Draw entries of a matrix of low rank and variance 1, each at another place."""
    rows_key, columns_key, places_key, noise_key = jax.random.split(key, 4)
    matrix = _product(rows_key, columns_key, shape, rank)
    # Places are drawn without replacement, so none that is held out is trained on.
    places = jax.random.permutation(places_key, shape[0] * shape[1])[: TRAIN + HELD_OUT]
    x = jnp.stack(jnp.divmod(places, shape[1]), -1)
    noises = noise * jax.random.normal(noise_key, places.shape)
    return _with_noise(x, matrix.ravel()[places], noises)


def likings(key: PRNGKeyArray, shape: tuple[int, int], rank: int) -> tuple[Pairs, Pairs]:
    """Draw who likes what, 1 or 0; people and things are drawn in proportion to 1 / rank."""
    *keys, rows_key, columns_key, bias_key, y_key = jax.random.split(key, 6)
    x = jnp.stack([_ranks(k, size) for k, size in zip(keys, shape, strict=True)], -1)
    bias = jax.random.normal(bias_key, (shape[1],))
    score = 2 * _product(rows_key, columns_key, shape, rank)[x[:, 0], x[:, 1]] + bias[x[:, 1]]
    return _tossed(y_key, x, score)


def _ranks(key: PRNGKeyArray, size: int) -> Int[Array, " examples"]:
    """Draw ranks from 0 on with odds 1 / (1 + rank)."""
    summed = jnp.cumsum(1 / jnp.arange(1.0, size + 1))
    drawn = jax.random.uniform(key, (TRAIN + HELD_OUT,)) * summed[-1]
    return jnp.searchsorted(summed[:-1], drawn, side="right")


def _product(
    rows_key: PRNGKeyArray, columns_key: PRNGKeyArray, shape: tuple[int, int], rank: int
) -> Float[Array, "_ _"]:
    """Draw a matrix of a rank, whose entries have the variance 1."""
    rows = jax.random.normal(rows_key, (shape[0], rank))
    return rows @ jax.random.normal(columns_key, (rank, shape[1])) / rank**0.5


def records(
    key: PRNGKeyArray, numbers: int, categories: tuple[int, ...]
) -> tuple[Records, Records]:
    """Draw records of numbers and categories, and y ∈ {0, 1}; pairs of columns act together."""
    *keys, x_key, w_key, y_key = jax.random.split(key, len(categories) + 3)
    count = TRAIN + HELD_OUT
    x = jax.random.normal(x_key, (count, numbers))
    columns, effects = [], []
    for column_key, size in zip(keys, categories, strict=True):
        drawn_key, effect_key = jax.random.split(column_key)
        columns.append(jax.random.randint(drawn_key, (count,), 0, size))
        effects.append(jax.random.normal(effect_key, (size,))[columns[-1]])
    together = [a * b for a, b in pairwise(effects)]
    linear_part = x @ jax.random.normal(w_key, (numbers,))
    score = sum([*effects, *together], start=linear_part)
    y = jax.random.uniform(y_key, (count,)) < jax.nn.sigmoid(score)
    every = ((x, jnp.stack(columns, -1)), y[:, None].astype(x.dtype))
    return jax.tree.map(lambda z: z[:TRAIN], every), jax.tree.map(lambda z: z[TRAIN:], every)


def centres(key: PRNGKeyArray, n: int, noise: float) -> tuple[Array, Array]:
    """Draw θ* and centres around it with variance noise² / h_i; only θ* is held out."""
    minimum_key, noise_key = jax.random.split(key)
    minimum = jax.random.normal(minimum_key, (n,))
    errors = noise * jax.random.normal(noise_key, (TRAIN, n)) / jnp.sqrt(curvatures(n))
    return minimum + errors, minimum[None]


def observed(key: PRNGKeyArray, system: LotkaVolterra, noise: float) -> tuple[Pairs, Pairs]:
    """Draw rates, and populations over time from several starts, plus noise."""
    theta_key, begin_key, noise_key = jax.random.split(key, 3)
    rates = 0.5 * jax.random.normal(theta_key, (4,))
    begin = 0.5 * jax.random.normal(begin_key, (TRAIN + HELD_OUT, 2))
    paths = system.apply(rates, begin, None)
    return _with_noise(begin, paths, noise * jax.random.normal(noise_key, paths.shape))
