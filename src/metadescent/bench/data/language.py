"""A small language of known entropy, so that there is text to model without a download.

A word has one to three syllables, and some consonants and vowels are frequent. Nouns, verbs and
adjectives are drawn with odds 1/rank. Which of them are frequent depends on the topic, which
changes at about every eighth sentence and is never stated. A verb agrees with its subject in number
across the adjectives between. So there is something to learn within a word, from word to word,
within a sentence and from sentence to sentence.

Once the topics are known, text and draws determine each other, so the mean surprisal of the draws
is the entropy given the topics. No model has an expected loss below that.
"""

from bisect import bisect
from functools import lru_cache
from math import log
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

TOPICS = 4
SAME_TOPIC = 7 / 8
CONSONANTS, VOWELS = "tnsrlkmdpgbv", "aeiou"
DETERMINERS = ("ta", "o", "min")
JOINED = (", na ", ", uk ")
COUNTS = {"noun": 60, "verb": 40, "adjective": 30}
# The endings of each kind of word, for one subject and for several.
ENDINGS = {"noun": ("", "ch"), "verb": ("f", "w"), "adjective": ("y", "y")}
ALPHABET = "".join(sorted({*CONSONANTS, *VOWELS, *" ,.chfwy"}))


class Corpus(NamedTuple):
    """Text as places in `ALPHABET`, and its entropy in nats a character, given the topics."""

    characters: UInt8[np.ndarray, " length"]
    entropy: float


class Odds(NamedTuple):
    """Things to draw from: the cumulated sums of their odds, and the surprisal of each."""

    summed: list[float]
    surprisals: list[float]


@lru_cache(maxsize=4)
def corpus(length: int, seed: int) -> Corpus:
    """Return a text in this language; the same seed gives the same text."""
    writer = _Writer(np.random.default_rng([1, seed]))
    sentences: list[str] = []
    written = 0
    while written < length:
        sentences.append(writer.sentence())
        written += len(sentences[-1])
    text = "".join(sentences)
    codes = np.searchsorted(np.asarray([*ALPHABET]), np.asarray([*text]))
    return Corpus(codes[:length].astype(np.uint8), writer.surprisal / written)


class _Writer:
    """Draws one sentence after the other, and sums up how surprising the draws are."""

    def __init__(self, random: np.random.Generator):
        self.random, self.numbers = random, iter(())
        self.words, self.odds = _lexicon()
        self.coin = _odds(np.ones(2))
        self.topic, self.surprisal = 0, 0.0

    def number(self) -> float:
        """Return a number from 0 to 1; they are drawn many at a time, which is quicker."""
        number = next(self.numbers, None)
        if number is None:
            self.numbers = iter(self.random.random(4096).tolist())
            number = next(self.numbers)
        return number

    def choose(self, odds: Odds) -> int:
        """Return which of several things is drawn, and add its surprisal."""
        chosen = bisect(odds.summed, self.number())
        self.surprisal += odds.surprisals[chosen]
        return chosen

    def word(self, kind: str, is_several: int) -> str:
        return (
            self.words[kind][self.choose(self.odds[kind][self.topic])] + ENDINGS[kind][is_several]
        )

    def subject(self, is_several: int) -> str:
        """Return a noun with its determiner; a coin decides on each adjective between them."""
        words = [DETERMINERS[self.choose(_EVEN_DETERMINERS)]]
        while self.choose(self.coin):
            words.append(self.word("adjective", is_several))
        return " ".join([*words, self.word("noun", is_several)])

    def clause(self) -> str:
        is_several = self.choose(self.coin)
        subject = self.subject(is_several)
        # The object stands between the subject and its verb.
        other = f" {self.subject(self.choose(self.coin))}" if self.choose(self.coin) else ""
        return f"{subject}{other} {self.word('verb', is_several)}"

    def sentence(self) -> str:
        if self.number() > SAME_TOPIC:
            self.topic = int(TOPICS * self.number())
        text = self.clause()
        if self.choose(self.coin):
            text += JOINED[self.choose(self.coin)] + self.clause()
        return text + ". "


def _odds(weights: np.ndarray) -> Odds:
    odds = weights / weights.sum()
    # The last sum is above every number that can be drawn, whatever the rounding.
    summed = [*np.cumsum(odds)[:-1].tolist(), 2.0]
    return Odds(summed, [-log(p) for p in odds])


_EVEN_DETERMINERS = _odds(np.ones(len(DETERMINERS)))


@lru_cache(maxsize=1)
def _lexicon() -> tuple[dict[str, list[str]], dict[str, list[Odds]]]:
    """Return the words of each kind, and for each topic the odds with which they are drawn."""
    random = np.random.default_rng(0)
    taken: set[str] = set()
    words = {kind: [_new_word(random, taken) for _ in range(n)] for kind, n in COUNTS.items()}
    odds = {
        kind: [_odds(1 / (1 + np.argsort(random.random(n)))) for _ in range(TOPICS)]
        for kind, n in COUNTS.items()
    }
    return words, odds


def _new_word(random: np.random.Generator, taken: set[str]) -> str:
    """Return a word that is not taken, of one to three syllables."""
    while True:
        # Squares of random numbers are often small, so the first letters are frequent.
        numbers = random.random(7)
        syllables = 1 + int(3 * numbers[0])
        word = "".join(
            CONSONANTS[int(len(CONSONANTS) * consonant**2)] + VOWELS[int(len(VOWELS) * vowel**2)]
            for consonant, vowel in numbers[1 : 1 + 2 * syllables].reshape(-1, 2)
        )
        if word not in taken and word not in DETERMINERS:
            taken.add(word)
            return word


def windows_of(text: UInt8[np.ndarray, " length"], size: int, stride: int = 1) -> np.ndarray:
    """Return the windows of a text, one at each multiple of the stride."""
    return np.lib.stride_tricks.sliding_window_view(text, size)[::stride].copy()
