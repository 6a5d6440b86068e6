"""How figures look: sizes, colours, dashes, labels.

As in figures 4 to 6, learned optimizers are solid and hand-designed ones dashed; every one has its
own colour (of the palette of Okabe and Ito, made for colour-blind readers) and its own dashes or
markers, so that the curves can be told apart in grey as well. A learned one as it begins has the
colour of the trained one, pale and thin.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metadescent.descent.baselines import KNOWN
from metadescent.descent.beginnings import ENDING, is_begun

if TYPE_CHECKING:
    import matplotlib.axes

# Width in inches of one column of a two-column page; a figure of two panels a row has two.
COLUMN_WIDTH = 3.4


# Colours are Okabe and Ito's; its yellow is too light for a line. Dashes are in line widths.
_LEARNED = [("#D55E00", ""), ("#56B4E9", "o"), ("#E69F00", "s"), ("#000000", "^"), ("#009E73", "D")]


# Of what is neither learned nor among the baselines, which have theirs in `descent.baselines`.
_OTHERS = [("#E69F00", (5.0, 1.4, 2.0, 1.4)), ("#7A7A7A", (2.0, 2.8)), ("#009E73", (9.0, 3.0))]


MUTED = {"linewidth": 1.0, "alpha": 0.5, "zorder": 2.2}


STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "0.25",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "0.25",
    "ytick.color": "0.25",
    "xtick.labelcolor": "0.1",
    "ytick.labelcolor": "0.1",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.dash_capstyle": "butt",
    "lines.scale_dashes": True,
    "text.parse_math": True,
}


def label_of(name: str, labels: Mapping[str, str]) -> str:
    """Return how a name is written: as `labels` has it, else as in the paper."""
    if is_begun(name) and name not in labels:
        return label_of(name.removesuffix(ENDING), labels) + ENDING
    return literal(labels.get(name, KNOWN[name].label if name in KNOWN else name))


def literal(text: str) -> str:
    """Return a text that Matplotlib draws as it stands: no mathematics, and not left out."""
    # Labels that begin with _ are in no legend; what stands before it has no width.
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def name_axes(
    axes: "matplotlib.axes.Axes", x_label: str, y_label: str, title: str | None = None, **more: Any
) -> None:
    """Write the names of axes, and a title at the left, as they stand."""
    axes.set_xlabel(literal(x_label))
    axes.set_ylabel(literal(y_label))
    if title is not None:
        axes.set_title(literal(title), loc="left", **more)


def styles_of(are_learned: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """Return how each optimizer is drawn; a known baseline looks the same in every figure."""
    styles: dict[str, dict[str, Any]] = {}
    learned = others = 0
    for name, is_learned in are_learned.items():
        if is_begun(name):
            continue
        if is_learned:
            color, marker = _LEARNED[learned % len(_LEARNED)]
            marks = {"marker": marker, "markersize": 4.0, "markevery": 0.1} if marker else {}
            styles[name] = {"color": color, "linewidth": 2.0, "zorder": 3.0, **marks}
            learned += 1
        else:
            if name in KNOWN:
                color, dashes = KNOWN[name].color, KNOWN[name].dashes
            else:
                color, dashes = _OTHERS[others % len(_OTHERS)]
                others += 1
            styles[name] = {
                "color": color,
                "linewidth": 1.3,
                "zorder": 2.5,
                "linestyle": (0, dashes),
            }
    for name in filter(is_begun, are_learned):
        trained = styles.get(name.removesuffix(ENDING), {"color": "#7A7A7A"})
        styles[name] = trained | MUTED
    return styles
