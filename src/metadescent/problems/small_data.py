"""Data for the small networks of `assorted`: scikit-learn's 8×8 digits, and data from a seed."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from metadescent.problems.data.digits import load_digits
from metadescent.problems.small_equations import epidemic

SEED = 0

Examples = tuple[np.ndarray, np.ndarray]
"""Inputs x and targets y, each with one example along the first axis."""


def draw_examples() -> dict[str, Examples]:
    """Return all sets of examples by name."""
    images, labels = load_digits()
    pixels = (images / 8.0 - 1.0).astype(np.float32)
    digits = pixels, labels
    random = np.random.default_rng(SEED)
    doubtful = pixels, _mistaken(labels, random)
    spotted = _spotted(images, labels, random)
    return {
        "faint": _noisy(digits, 0.3),
        "noisy": _noisy(digits, 0.7),
        "drowned": _noisy(digits, 1.0),
        "doubtful": _noisy(doubtful, 0.3),
        "same": (pixels, pixels),
        "spotted": spotted,
        "mistaken": (spotted[0], _mistaken(spotted[1], random)),
        "moved": _moved(images, labels, np.random.default_rng(SEED + 1)),
        "clouds": _clouds(random),
        "bags": _bags(random),
        "letters": _letters(random),
        "sorted": _sorted(random),
        "rated": _rated(random),
        "taught": _taught(random),
        "line": _line(random),
        "wave": _wave(random),
        "surface": _surface(random),
        "hardly taught": _hardly_taught(random),
        "rated by many": _rated(random, people=400, things=300),
        "moments": _nothing(random.uniform(0, 2.5, size=(2048, 1)), 3),
        "places": _nothing(random.uniform(size=(4096, 2)), 3),
        "inside": _nothing(random.uniform(size=(4096, 2)), 1),
        "outbreaks": _outbreaks(random),
    }


def _noisy(data: Examples, noise: float, copies: int = 8) -> Examples:
    """Return copies of examples, each with noise of its own: too many to memorize."""
    x, y = (np.concatenate([side] * copies) for side in data)
    drawn = np.random.default_rng(SEED).normal(size=x.shape)
    return (x + noise * drawn).astype(np.float32), y


def _spotted(images: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Examples:
    """Return digits enlarged to 24 × 24, mostly dark, six of each; a quarter of a copy is seen."""
    large = np.kron(images.reshape(-1, 8, 8), np.ones((3, 3))).reshape(len(labels), -1) / 16.0
    seen = random.random((6 * len(labels), 576)) < 0.25
    return (np.concatenate([large] * 6) * seen).astype(np.float32), np.tile(labels, 6)


def _moved(
    images: np.ndarray, labels: np.ndarray, random: np.random.Generator, copies: int = 12
) -> Examples:
    """Return digits of 16 × 16 at places drawn in 20 × 20: clean, and too many to learn by heart.

    They are standardized, as in people's scripts, so that inputs are large.
    """
    digits = np.kron(images.reshape(-1, 8, 8), np.ones((2, 2))) / 16.0
    moved = np.zeros((copies * len(labels), 20, 20), np.float32)
    places = random.integers(5, size=(len(moved), 2))
    for number, (i, j) in enumerate(places):
        moved[number, i : i + 16, j : j + 16] = digits[number % len(labels)]
    standard = (moved - moved.mean()) / moved.std()
    return standard.reshape(len(moved), -1), np.tile(labels, copies)


def _mistaken(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return labels, of which one in ten is replaced by a random label."""
    wrong = random.random(len(labels)) < 0.1
    return np.where(wrong, random.integers(labels.max() + 1, size=len(labels)), labels)


def _clouds(random: np.random.Generator) -> Examples:
    """Return points of six overlapping clouds in 20 dimensions, and the clouds' numbers."""
    centres = 0.7 * random.normal(size=(6, 20))
    kinds = random.integers(6, size=8192)
    return (centres[kinds] + random.normal(size=(8192, 20))).astype(np.float32), kinds


def _bags(random: np.random.Generator) -> Examples:
    """Return counts of 600 words in texts of 30, a fifth of them from one of 8 topics."""
    topics = random.dirichlet(np.full(600, 0.1), size=8)
    kinds = random.integers(8, size=4096)
    words = [random.multinomial(30, 0.2 * topics[kind] + 0.8 / 600) for kind in kinds]
    return np.minimum(words, 3).astype(np.float32), kinds


def _letters(random: np.random.Generator) -> Examples:
    """Return three letters of 27, each numbered apart by its place, and the letter after them."""
    next_letter = random.dirichlet(np.full(27, 0.15), size=(27, 27))
    text = [0, 1]
    for _ in range(8192):
        text.append(int(random.choice(27, p=next_letter[text[-2], text[-1]])))
    s = np.asarray(text)
    return np.stack([s[:-3], s[1:-2] + 27, s[2:-1] + 54], 1), s[3:]


def _sorted(random: np.random.Generator) -> Examples:
    """Return four columns of 30 categories, and one of two classes."""
    columns = random.integers(30, size=(8192, 4)) + 30 * np.arange(4)
    worth = random.normal(size=120)[columns]
    return columns, (worth[:, 0] * worth[:, 1] + worth[:, 2] > worth[:, 3]).astype(int)


def _rated(random: np.random.Generator, people: int = 200, things: int = 120) -> Examples:
    """Return pairs of people and things, and how much the former like the latter."""
    pairs = random.integers([people, things], size=(8192, 2))
    tastes: Any = random.normal(size=(people, 4)), random.normal(size=(things, 4))
    likings = (tastes[0][pairs[:, 0]] * tastes[1][pairs[:, 1]]).sum(1, keepdims=True) / 2
    return pairs, likings + 0.2 * random.normal(size=likings.shape)


def _taught(random: np.random.Generator) -> Examples:
    """Return 12 numbers, and the output of a network of 16 units for them, with noise."""
    x = random.normal(size=(4096, 12)).astype(np.float32)
    hidden = np.tanh(x @ random.normal(size=(12, 16)))
    return x, hidden @ random.normal(size=(16, 1)) / 4 + 0.1 * random.normal(size=(4096, 1))


def _line(random: np.random.Generator) -> Examples:
    """Return 30 inputs of scales from 1 to 0.03, and a linear function of them with noise."""
    x = (random.normal(size=(4096, 30)) * np.logspace(0, -1.5, 30)).astype(np.float32)
    return x, x @ random.normal(size=(30, 1)) + 0.1 * random.normal(size=(4096, 1))


def _wave(random: np.random.Generator) -> Examples:
    """Return moments, and the height of a damped wave with noise."""
    moments = random.uniform(0, 4, size=(1024, 1))
    wave = 1.7 * np.exp(-0.4 * moments) * np.sin(2.2 * moments + 0.5) + 0.3
    return moments, wave + 0.02 * random.normal(size=moments.shape)


def _surface(random: np.random.Generator) -> Examples:
    """Return places in a square, and the height of a smooth surface."""
    x = random.uniform(-1, 1, size=(2048, 2)).astype(np.float32)
    return x, np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:])


def _hardly_taught(random: np.random.Generator) -> Examples:
    """Return 24 numbers, and the output of a network of 6 units for them, with much noise."""
    x = random.normal(size=(8192, 24)).astype(np.float32)
    hidden = np.maximum(x @ random.normal(size=(24, 6)) / 24**0.5, 0)
    return x, hidden @ random.normal(size=(6, 1)) + 0.3 * random.normal(size=(8192, 1))


def _nothing(x: np.ndarray, conditions: int) -> Examples:
    """Return points, and 0 as the target of each of some conditions at them."""
    return x.astype(np.float32), np.zeros((len(x), conditions), np.float32)


def _outbreaks(random: np.random.Generator) -> Examples:
    """Return the share of infected at first, and the shares counted afterwards, with noise."""
    start = np.exp(random.uniform(np.log(0.003), np.log(0.1), size=(2048, 1)))
    theta = [(jnp.zeros((1, 3)), jnp.array([-0.8, 0.5, -1.0]))]
    days = np.asarray(epidemic(theta, jnp.asarray(start)))
    return start, days + 0.01 * random.normal(size=days.shape)
