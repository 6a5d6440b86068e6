"""Figures of the paper that were made anew, as tables and on one page, from their JSON alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from metadescent._text import markdown_table, number
from metadescent.descent.beginnings import as_begun, is_begun
from metadescent.runs.outcome import figure
from metadescent.runs.page import Part, Picture, Section, Table, render_page

HOLDS = {True: "yes", False: "no", None: "not judged"}
JUDGED = ("the paper says", "section", "measured", "against", "ratio", "95 %", "holds")
LOSSES = ("panel", "optimizer", "trained", "as it begins", "best baseline", "rate", "level rates")

Figure = Mapping[str, Any]
"""The JSON that `metadescent reproduce FIGURE --json` writes."""


def claims_table(claims: Sequence[Mapping[str, Any]]) -> Table:
    """Return the claims of a figure with what decides: two means, their ratio and its interval."""
    return Table(
        JUDGED,
        [
            [
                claim["text"],
                claim["section"],
                figure(claim["measured"]),
                ", ".join(filter(None, [figure(claim["reference"]), claim["against"]])),
                figure(claim["ratio"]),
                interval(claim["low"], claim["high"]),
                HOLDS[claim["holds"]],
            ]
            for claim in claims
        ],
    )


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in words, a dash if no end is known; one end may be open."""
    has_low, has_high = (end is not None and math.isfinite(end) for end in (low, high))
    if not (has_low or has_high):
        return "–"
    ends = (number(low) if has_low else "−∞", number(high) if has_high else "∞")
    return " – ".join(ends)


def losses_table(made: Figure) -> Table | None:
    """Return what learning adds in each panel: mean losses of the last tenth of the steps.

    Each learned optimizer has a row, with the same rule as it begins and the best baseline. Rates
    that are level with the baseline's best rate are in the last column.
    """
    rows = []
    for panel, comparison in made["panels"].items():
        curves, tuned = comparison["curves"], made["rates"][panel]
        losses = {name: _last_tenth(curve["mean"]) for name, curve in curves.items()}
        best = min(tuned, key=losses.__getitem__, default=None)
        search = tuned[best] if best else {}
        low, high = search.get("level", (None, None))
        learned = [name for name in losses if name not in tuned and not is_begun(name)]
        rows += [
            [
                panel,
                name,
                figure(losses[name], "diverged"),
                figure(losses.get(as_begun(name))),
                f"{figure(losses[best], 'diverged')}, {best}" if best else "–",
                figure(search.get("rate")),
                f"{number(low)} – {number(high)}" if low != high else "–",
            ]
            for name in learned
        ]
    return Table(LOSSES, rows) if rows else None


def overview(figures: Sequence[Figure]) -> Table:
    """Return how many claims of each figure hold, with the minutes and the hardware."""
    return Table(
        ("figure", "claims", "hold", "fail", "minutes", "hardware"),
        [
            [
                made["figure"],
                str(len(made["claims"])),
                *(str(count_claims(made, holds)) for holds in (True, False)),
                figure(made["made"]["minutes"]),
                made["made"]["hardware"],
            ]
            for made in figures
        ],
    )


def count_claims(made: Figure, holds: bool) -> int:
    """Return how many claims of a figure hold, or fail."""
    return sum(claim["holds"] is holds for claim in made["claims"])


def reproduction_page(
    figures: Sequence[Figure], pictures: Mapping[str, bytes], absent: Mapping[str, str]
) -> str:
    """Return one page of HTML on figures: pictures, claims with intervals, hardware and minutes.

    `pictures` are PNG files by figure; `absent` says why others could not be made.
    """
    judged = any(claim["holds"] is not None for made in figures for claim in made["claims"])
    lead = (
        "Claims are judged in pairs of runs on the same problems, by criteria that were fixed "
        "before. The ratio is of two means over problems, with its 95 % interval."
        if judged
        else "The figures can be made. Nothing was tuned, and no claim is judged."
    )
    first = [Section("Figures", [overview(figures)])] if figures else []
    missing = [Section("Not made", [Table(("figure", "why"), [*absent.items()])])] if absent else []
    return render_page(
        "The paper, reproduced",
        lead,
        [*first, *missing, *(_section(made, pictures.get(made["figure"])) for made in figures)],
    )


def _section(made: Figure, picture: bytes | None) -> Section:
    parts: list[Part] = [Picture(picture, f"{made['figure']}, made anew")] if picture else []
    judged = any(claim["holds"] is not None for claim in made["claims"])
    parts += [claims_table(made["claims"])] if judged else []
    losses = losses_table(made)
    parts += [losses] if losses else []
    return Section(made["figure"], [*parts, _how(made)])


def reproduction_markdown(made: Figure) -> str:
    """Return the part of the documentation on a figure, in Markdown, without its heading."""
    tables = [claims_table(made["claims"]), losses_table(made)]
    texts = [markdown_table(*table) for table in tables if table]
    return "\n\n".join([*texts, _how(made)])


def _how(made: Figure) -> str:
    """Return how a figure was made, in a line."""
    how = made["made"]
    named = ", ".join(f"{name} {version}" for name, version in how["versions"].items())
    return (
        f"Budget {how['budget']}, seed {how['seed']}, criteria {how['criteria']}; "
        f"{figure(how['minutes'])} minutes on {how['hardware']}; {named}."
    )


def _last_tenth(mean: Sequence[float | None]) -> float:
    """Return the mean loss of the last tenth of the steps, infinite if a loss is not finite."""
    losses = mean[-max(1, len(mean) // 10) :]
    known = [loss for loss in losses if loss is not None]
    return math.fsum(known) / len(known) if len(known) == len(losses) else math.inf
