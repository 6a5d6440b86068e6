"""A finding about a run: a verdict, the numbers behind it, and what to try."""

from typing import NamedTuple

from metadescent import _show


class Finding(NamedTuple):
    """A verdict, the numbers behind it, and what to try (nothing where all is well)."""

    verdict: str
    numbers: str
    remedy: str = ""

    def _repr_html_(self) -> str:
        return _show.html(self)


class Findings(list[Finding]):
    """Verdicts in order; a notebook shows them as they stand in a report."""

    def _repr_html_(self) -> str:
        return _show.html(self)
