"""The next letter of a small language: by n-grams, recurrent cells and a transformer."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from metadescent.bench.task import Split, Task

if TYPE_CHECKING:
    from metadescent.bench.models.recurrent import CellKind
    from metadescent.bench.models.supervised import Network

TEXTS = ((0, 300_000), (1, 32_768))
"""The seed and the length of the training text, and of the text that is held out."""
TIMES, CONTEXT = 32, 8
MOST = 256
"""How many windows a loss is measured on."""


def make_letter_reader(
    data_dir: Path | None = None, *, kind: "CellKind", units: int, batch_size: int
) -> Split:
    """Return the task of training a cell to predict each next letter."""
    from metadescent.bench.data.language import ALPHABET
    from metadescent.bench.models.recurrent import LetterReader

    del data_dir  # The text is made here.
    return _on_text(LetterReader(kind, len(ALPHABET), 16, units), batch_size)


def make_letter_transformer(data_dir: Path | None = None) -> Split:
    """Return the task of training two causal blocks of 32 features to predict each next letter."""
    from metadescent.bench.data.language import ALPHABET
    from metadescent.bench.models.attention import LetterTransformer

    del data_dir
    return _on_text(LetterTransformer(len(ALPHABET), TIMES, 32, 2), 8)


def make_n_gram(data_dir: Path | None = None) -> Split:
    """Return the task of training a perceptron to predict a letter from the eight before it."""
    from metadescent.bench.data.language import ALPHABET, corpus, windows_of
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.ngram import NGram
    from metadescent.bench.models.supervised import Supervised

    del data_dir
    train, held_out = (
        windows_of(corpus(length, seed).characters, CONTEXT + 1) for seed, length in TEXTS
    )
    model = Supervised(NGram(len(ALPHABET), 16, CONTEXT, 64), "softmax")
    pairs = [(windows[:, :-1], windows[:, -1]) for windows in (train, held_out)]
    return split_of(model, pairs[0], pairs[1], 128, 4 * MOST)


def _on_text(network: "Network", batch_size: int) -> Split:
    """Return the task of predicting each letter of a window from those before it."""
    from metadescent.bench.data.language import corpus, windows_of
    from metadescent.bench.fitting import split_of
    from metadescent.bench.models.supervised import Supervised

    train, held_out = (
        windows_of(corpus(length, seed).characters, TIMES + 1) for seed, length in TEXTS
    )
    pairs = [(windows[:, :-1], windows[:, 1:]) for windows in (train, held_out)]
    return split_of(Supervised(network, "softmax"), pairs[0], pairs[1], batch_size, MOST)


NAMED = {
    "text-n-gram": Task(
        "language", "MLP on the embeddings of 8 letters of text, tanh", make_n_gram
    ),
    "text-gru": Task(
        "language",
        "GRU of 48 units over 32 letters of text",
        partial(make_letter_reader, kind="gru", units=48, batch_size=16),
    ),
    "text-lstm": Task(
        "language",
        "LSTM of 32 units over 32 letters of text",
        partial(make_letter_reader, kind="lstm", units=32, batch_size=16),
    ),
    "text-transformer": Task(
        "language",
        "transformer of 2 blocks over 32 letters of text",
        make_letter_transformer,
    ),
}
