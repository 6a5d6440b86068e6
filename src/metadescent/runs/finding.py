"""A finding about a run: a verdict, the numbers behind it, and what to try."""

from typing import NamedTuple

from metadescent import _show


class Finding(NamedTuple):
    """A verdict, the numbers behind it, and what to try (empty if all is well)."""

    verdict: str
    numbers: str
    remedy: str = ""

    def _repr_html_(self) -> str:
        return _show.html(self)


class Findings(list[Finding]):
    """Verdicts in order; a notebook shows them as a report does."""

    def _repr_html_(self) -> str:
        return _show.html(self)
