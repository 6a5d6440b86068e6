"""What it takes for a claim to hold, as data: who is compared with whom, where, and by how much.

    below each    the whole interval of the ratio to each of the others is below the margin
    above each    the same, above it
    above one     the same of at least one of the others
    equivalent    each of `others` is below the margin times each other one
    larger lead   the ratio to the best baseline in the first panel is below the margin times that
                  in the second
    settles       what a run ends with is below the margin times the least on its way
    all below     every run by itself is below the margin; likewise "all at least"

All are compared on the same problems. Intervals are of 95 %, simultaneous where one of several
optimizers, or one of the others, has to pass (Bonferroni). A claim may also need that others hold:
those it is `given`.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal[
    "below each",
    "above each",
    "above one",
    "equivalent",
    "larger lead",
    "settles",
    "all below",
    "all at least",
]

LEADER = ("the leader",)  # the learned optimizer that leads a panel
BASELINES = ("the baselines",)  # the hand-designed ones of a panel that did not diverge there
SCHEDULED = ("nag-cosine", "adamw")  # not among them: claims that judge these name them
BEGUN = ("itself as it begins",)
ONE = ("1",)  # what is judged is a share, or a ratio already
OURS = "ours"


class Criterion(NamedTuple):
    """When a claim holds; see above."""

    id: str
    says: str  # quotes the paper, or is ours
    section: str
    panels: tuple[str, ...]
    quantity: str  # of `records`, or the figure's own
    kind: Kind = "below each"
    margin: float = 1.0
    mine: tuple[str, ...] = LEADER
    others: tuple[str, ...] = BASELINES
    given: tuple[str, ...] = ()


def digest_of(criteria: Iterable[Criterion]) -> str:
    """Return a digest of criteria, by which a figure's JSON says what its claims were judged by."""
    return hashlib.sha256(repr(list(criteria)).encode()).hexdigest()[:12]
