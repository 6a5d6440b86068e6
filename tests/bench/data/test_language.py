"""The small language: the same text each time, with an entropy that no guess gets below."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from metadescent.bench.data.language import ALPHABET, corpus, windows_of


def text_of(length: int, seed: int) -> str:
    return "".join(ALPHABET[code] for code in corpus(length, seed).characters)


def test_a_seed_is_a_text() -> None:
    text, other = text_of(2000, 0), text_of(2000, 1)
    assert text == text_of(3000, 0)[:2000]
    assert text != other
    # Recorded: results on it are compared from version to version.
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest.startswith("aefb800c47fd5743")


def test_its_letters_are_few() -> None:
    assert len(ALPHABET) <= 40
    assert {*text_of(20_000, 0)} == {*ALPHABET}


def test_a_verb_agrees_with_its_subject() -> None:
    clauses = text_of(20_000, 0).rpartition(".")[0].replace(", na", ".").replace(", uk", ".")
    for clause in clauses.split("."):
        words = clause.split()
        noun = next(word for word in words[1:] if not word.endswith("y"))
        assert words[-1][-1] == ("w" if noun.endswith("ch") else "f")


def test_words_depend_on_what_is_spoken_of() -> None:
    """In a sentence and the next the same words come up more often than in two far apart."""
    sentences = [{*s.split()} for s in text_of(100_000, 0).split(". ")]
    near, far = (
        np.mean([len(a & b) for a, b in zip(sentences, sentences[apart:], strict=False)])
        for apart in (1, 300)
    )
    assert near > 1.1 * far


def test_what_is_known_of_more_letters_helps_and_never_below_the_entropy() -> None:
    text = corpus(200_000, 0)
    codes = text.characters.astype(int)
    losses = [conditional_entropy(codes, order) for order in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < np.log(len(ALPHABET))
    assert losses[-1] > text.entropy
    # A fresh text by the same law.
    assert corpus(200_000, 1).entropy == pytest.approx(text.entropy, rel=0.02)


def conditional_entropy(codes: np.ndarray, order: int) -> float:
    """Return the nats of a character, given so many before it."""

    def entropy(length: int) -> float:
        parts = [codes[i : len(codes) - order + i] for i in range(length)]
        counts = np.array([*Counter(zip(*parts, strict=True)).values()]) if parts else np.ones(1)
        shares = counts / counts.sum()
        return float(-(shares * np.log(shares)).sum())

    return entropy(order + 1) - entropy(order)


def test_windows_are_of_neighbours() -> None:
    np.testing.assert_array_equal(
        windows_of(np.arange(6, dtype=np.uint8), 3, 2), [[0, 1, 2], [2, 3, 4]]
    )
