"""The words of a claim: the paper's sentence, what is compared, and when it holds."""

from typing import TYPE_CHECKING

from metadescent._text import markdown_table
from metadescent.descent.beginnings import ENDING, is_begun
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.criterion import BASELINES, BEGUN, LEADER, ONE, Criterion
from metadescent.figures.paper.records import called

if TYPE_CHECKING:
    from metadescent.figures.paper.claims import Value

CONDITIONS = {
    "below each": "the 95 % interval of the ratio{each} is below {margin:g}",
    "above each": "the 95 % interval of the ratio{each} is above {margin:g}",
    "above one": "the interval of the ratio to one of them is above {margin:g}, at 95 % for all "
    "together",
    "equivalent": "the 95 % intervals of all their ratios are below {margin:g}",
    "larger lead": "the 95 % interval of the ratio of the two is below {margin:g}",
    "settles": "the 95 % interval of the ratio is below {margin:g}",
    "all below": "it is below {margin:g} in every run",
    "all at least": "it is at least {margin:g} in every run",
}


def text_of(criterion: Criterion, steps: int | None = None) -> str:
    """Return a claim in words; `steps`, if known, is the number of steps of its runs."""
    what, who = called(criterion.quantity, steps), _who(criterion.mine)
    match criterion.kind:
        case "equivalent":
            compared = f"{what}, of {_listed(criterion.others)}"
        case "larger lead":
            small, large = criterion.panels
            compared = f"{what}, {who} ÷ the best baseline's, in {small} beside {large}"
        case "settles":
            compared = f"{what}, {who} beside the {called('least', steps)}"
        case _:
            compared = f"{what}, {who}{_beside(criterion.others)}"
    if len(criterion.panels) > 1 and criterion.kind != "larger lead":
        compared += f", in each of {len(criterion.panels)} panels"
    one_of = " of one of them" if len(criterion.mine) > 1 else ""
    several = criterion.others == BASELINES or len(criterion.others) > 1
    each = f"{one_of} to each" if several else one_of
    condition = CONDITIONS[criterion.kind].format(each=each, margin=criterion.margin)
    if criterion.others == ONE and criterion.kind in ("below each", "above each"):
        condition = condition.replace("of the ratio", "of the mean")
    given = f", and given that {_listed(criterion.given)}" if criterion.given else ""
    hold = " holds" if len(criterion.given) == 1 else " hold" if given else ""
    return f"{criterion.says}: {compared}; holds if {condition}{given}{hold}"


def all_criteria() -> str:
    """Return a table of the criteria of all figures, in Markdown."""
    rows = []
    for figure, criteria in CRITERIA.items():
        for criterion in criteria:
            says, _, condition = text_of(criterion).rpartition("; holds if ")
            rows.append((figure, f"`{criterion.id}`: {says}", criterion.section, condition))
    return markdown_table(("figure", "claim", "section", "holds if"), rows)


def against(criterion: Criterion, panel: str, mine: str, other: "Value | None") -> str:
    """Return what the reference is, and its panel, as far as the criterion does not say it."""
    if other is None:
        return ""
    name = other.over or ("" if criterion.kind == "settles" else other.name)
    name = ENDING.removeprefix(", ") if is_begun(name) else name
    who = f"{mine} beside {name}" if criterion.kind == "equivalent" else name
    return f"{who}, {panel}" if len(criterion.panels) > 1 else who


def _who(mine: tuple[str, ...]) -> str:
    return "the LSTM's" if mine == LEADER else " or ".join(map(_possessive, mine))


def _beside(others: tuple[str, ...]) -> str:
    if others == ONE:
        return ""
    words = {BASELINES: "each baseline's", BEGUN: "its own as it begins"}
    return f" beside {_listed(tuple(words.get((name,)) or _possessive(name) for name in others))}"


def _possessive(name: str) -> str:
    return f"{name}'{'' if name.endswith('s') else 's'}" if not is_begun(name) else name


def _listed(names: tuple[str, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
