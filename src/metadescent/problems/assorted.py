"""Small networks of the kinds that scripts have, side by side: to learn a general optimizer on.

    F(θ¹, …, θᴷ) = Σ_k s((log(f_k(θᵏ) + 10⁻⁴) − a_k) / u_k),     with ∇f_k as gradient,
    s(x) = sign(x) log(1 + |x|)

Classifiers of several depths, widths, activations and batches, a normalized, a recurrent, an
attentive, a residual and a convolutional one, embeddings, autoencoders, regressions of teachers,
of a line, a wave and a surface, networks that are to satisfy an equation, and the rates of an
epidemic. No task of `metadescent bench` has their data (`small_data`).

a_k is log f where AdamW ends after 500 steps, with the best rate for this network and half a
cosine, and u_k how much higher it ends after 250. So what is summed counts doublings of the number
of steps: 0 is level with AdamW at its end, and 1 is where AdamW is in half the time. Without u_k
the networks whose f goes to 0 would outweigh those whose f cannot. `tools/levels.py`
measures both.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from metadescent._errors import require
from metadescent.problems.assorted_levels import LEVELS
from metadescent.problems.base import Named, Problem
from metadescent.problems.from_function import FromFunction
from metadescent.problems.small_data import Examples, draw_examples
from metadescent.problems.small_equations import carried, epidemic, membrane, oscillator
from metadescent.problems.small_networks import (
    Layers,
    Net,
    attentive,
    begin,
    convolutional,
    dense,
    embedded,
    factored,
    normalized,
    recurrent,
    residual,
    waves,
)
from metadescent.problems.together import Together

LEAST = 1e-4
"""What is added to f: less is as good as 0."""
WORST = 1e4
"""What f counts as where it is not finite, or larger."""


class Trained(NamedTuple):
    """A network to be trained: on which examples, and by how large minibatches."""

    net: Net
    sizes: tuple[tuple[int, ...], ...]
    examples: str
    batch_size: int


relu, tanh, sigmoid = (partial(dense, f) for f in (jax.nn.relu, jnp.tanh, jax.nn.sigmoid))
PARTS = {
    "two layers": Trained(relu, ((64, 32), (32, 10)), "noisy", 64),
    "wrong labels": Trained(tanh, ((64, 16), (16, 16), (16, 10)), "doubtful", 16),
    "softmax": Trained(relu, ((64, 10),), "drowned", 64),
    "clouds": Trained(partial(dense, jax.nn.elu), ((20, 64), (64, 6)), "clouds", 32),
    "student": Trained(relu, ((12, 32), (32, 1)), "taught", 32),
    "line": Trained(relu, ((30, 1),), "line", 16),
    "autoencoder": Trained(tanh, ((64, 24), (24, 64)), "same", 64),
    "normalized": Trained(normalized, ((64, 32), (32, 32), (32, 10)), "drowned", 64),
    "pictures": Trained(relu, ((576, 32), (32, 10)), "mistaken", 16),
    "deep pictures": Trained(relu, ((576, 32), (32, 32), (32, 32), (32, 10)), "spotted", 48),
    "wide": Trained(tanh, ((64, 64), (64, 64), (64, 10)), "noisy", 64),
    "picture softmax": Trained(relu, ((576, 10),), "mistaken", 64),
    "words": Trained(relu, ((600, 24), (24, 8)), "bags", 32),
    "letters": Trained(embedded, ((81, 12), (36, 48), (48, 27)), "letters", 64),
    "factors": Trained(factored, ((200, 8), (120, 8)), "rated", 64),
    "categories": Trained(embedded, ((120, 6), (24, 64), (64, 2)), "sorted", 64),
    "wave": Trained(waves, ((1, 5),), "wave", 16),
    "surface": Trained(tanh, ((2, 24), (24, 24), (24, 1)), "surface", 64),
    "residual": Trained(residual, ((64, 24), *[(24, 24)] * 6, (24, 10)), "noisy", 32),
    "attentive": Trained(attentive, ((8, 16), (16, 48), (16, 16), (16, 10)), "faint", 16),
    "recurrent": Trained(recurrent, ((8, 24), (24, 24), (24, 10)), "faint", 64),
    "convolutional": Trained(convolutional, ((9, 8), (128, 10)), "noisy", 32),
    "hard lesson": Trained(relu, ((24, 96), (96, 1)), "hardly taught", 64),
    "many factors": Trained(factored, ((400, 6), (300, 6)), "rated by many", 64),
    "oscillator": Trained(oscillator, ((1, 20), (20, 20), (20, 1)), "moments", 32),
    "carried": Trained(carried, ((2, 20), (20, 20), (20, 1)), "places", 64),
    "membrane": Trained(membrane, ((2, 16), (16, 16), (16, 1)), "inside", 48),
    "narrowing": Trained(
        tanh, ((64, 40), (40, 16), (16, 6), (6, 16), (16, 40), (40, 64)), "same", 64
    ),
    "broad": Trained(relu, ((576, 96), (96, 96), (96, 10)), "mistaken", 24),
    "moved softmax": Trained(relu, ((400, 10),), "moved", 128),
    "moved sigmoid": Trained(sigmoid, ((400, 24), (24, 10)), "moved", 128),
    "moved tanh": Trained(tanh, ((400, 48), (48, 48), (48, 10)), "moved", 64),
    "moved relu": Trained(relu, ((400, 64), (64, 32), (32, 10)), "moved", 64),
    "epidemic": Trained(epidemic, ((1, 3),), "outbreaks", 16),
}


def make_assorted(count: int = len(PARTS)) -> Problem:
    """Return the first `count` of them together."""
    require("count", count, 1, len(PARTS))
    drawn = draw_examples()
    chosen = list(PARTS.items())[:count]
    parts = [train_of(part, LEVELS[name], drawn) for name, part in chosen]
    return Together(parts, apart=True)


def train_of(part: Trained, level: tuple[float, float], drawn: dict[str, Examples]) -> Problem:
    """Return the problem of training a network: its value is s(…), and its gradient that of f."""

    def loss(theta: Layers, key: PRNGKeyArray, batch: tuple[Array, Array]) -> Array:
        f = f_of(part, theta, batch)
        return _counted(f, _doublings(f, *level))

    return FromFunction(
        loss, partial(begin, sizes=part.sizes), drawn[part.examples], batch_size=part.batch_size
    )


def f_of(part: Trained, theta: Layers, batch: tuple[Array, Array]) -> Array:
    """Return f: the mean cross-entropy where y are classes, else the mean squared error."""
    x, y = batch
    outputs = part.net(theta, x)
    if jnp.issubdtype(y.dtype, jnp.integer):
        return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()
    return jnp.mean((outputs - y) ** 2)


@jax.custom_jvp
def _counted(f: Array, value: Array) -> Array:
    """Return the value, with the derivatives of f: what an optimizer sees."""
    return value


@_counted.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[1], tangents[0]


def _doublings(f: Array, a: float, u: float) -> Array:
    """Return s((log(f + 10⁻⁴) − a) / u)."""
    bounded = jnp.where(jnp.isfinite(f), jnp.clip(f, 0.0, WORST), WORST)
    x = (jnp.log(bounded + LEAST) - a) / u
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


RECIPE = {
    # Noise that is reused sees whole runs, and a tensor's network has few enough numbers for it.
    "optimizer": "blend(horizon=500.0)",
    "estimator": "pes(problems=8, std=0.05, reuse=True)",
    "steps": 500,
    "unroll": 50,
    "weigh_from": 150,
    "epochs": 24,
    "episodes": 8,
    "meta_rate": 0.007,
    "average": 0.985,
    "clip": 20000.0,
    "validation_problems": 8,
    "on_nonfinite": "skip",
}
NAMED = {"assorted": Named(make_assorted, RECIPE, "small networks of many kinds, side by side")}
