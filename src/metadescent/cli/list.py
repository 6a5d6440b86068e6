"""`list`: all groups on one screen, a group with one line a name, or one name in full."""

import re
import shlex
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, getdoc
from typing import Annotated, Any, NamedTuple

from tyro.conf import Positional, arg

from metadescent._errors import UserError
from metadescent._lines import WHOLE, filled
from metadescent._text import nearest, number
from metadescent.cli.command import Command, as_words

BEHIND = "*"
"""The mark of a pretrained optimizer that a tuned hand-designed one beats where it was trained."""
JOINED = "\N{NO-BREAK SPACE}"
AGAINST = f"{JOINED}against{JOINED}"
FACT = 14
"""Cells before the description of a name."""


@dataclass(frozen=True)
class List(Command):
    """List all that has a name; with a name, say what it is."""

    place = 1

    name: Positional[Annotated[str, arg(metavar="[NAME]")]] = ""
    """Group, for a line on each of its names, or a name, for all that there is to say of it."""

    def run(self) -> None:
        """Print the groups, one group, or one name."""
        from rich.text import Text

        from metadescent.cli.console import output

        out, groups = output(), _groups()
        room = max(out.width, 2 * FACT)
        if self.name in groups:
            lines = groups[self.name].lines
            indent = max(map(len, lines)) + 2
            for name, line in lines.items():
                left = max(FACT, out.width - indent)
                shown = textwrap.fill(
                    line, left, max_lines=1, placeholder=" …", break_on_hyphens=False
                )
                out.print(f"{name:<{indent}}{shown.replace(JOINED, ' ')}")
        elif self.name:
            for fact, value in _facts(self.name, groups).items():
                shown = filled(" " * FACT + value, room)
                out.print(f"{fact:<{FACT}}{shown[FACT:]}", soft_wrap=True)
        else:
            for title, group in groups.items():
                names = [name + BEHIND * (name in group.behind) for name in group.lines]
                heading = f"{title} ({group.use}):"
                text = Text(
                    # A program that reads from a pipe needs one name a line.
                    "\n  ".join([heading, *names])
                    if out.width == WHOLE
                    else filled(f"{heading} {'  '.join(names)}", room, "  ")
                )
                text.stylize("bold", 0, len(heading))
                out.print(text)
            out.print(f"{BEHIND} a tuned hand-designed optimizer beats it where it was trained")
            out.print("More on one: metadescent list NAME; a line on each of a group: list zoo")


class Listing(NamedTuple):
    """Things of one kind: the words that take them, a line on each, and facts about one."""

    use: str
    lines: Mapping[str, str]
    facts: Callable[[str], Mapping[str, str]]
    behind: frozenset[str] = frozenset()


def _groups() -> dict[str, Listing]:
    from metadescent import zoo
    from metadescent._names import discovered
    from metadescent.descent.baselines import BASELINES
    from metadescent.figures.paper import about, experiments
    from metadescent.registry import optimizers, problems
    from metadescent.runs.loggers.names import loggers
    from metadescent.zoo.cards import facts

    kinds, rules, estimators = problems(), optimizers(), discovered("metadescent.meta.estimators")
    kinds_of_logger = loggers()
    cards = {name: facts(name) for name in zoo.names()}
    figures = dict(sorted(experiments().items(), key=lambda item: (len(item[0]), item[0])))
    return {
        "problems": Listing(
            "train PROBLEM",
            {name: kinds[name].summary for name in sorted(kinds)},
            lambda name: {
                "what it is": kinds[name].summary,
                "options": _options(kinds[name].make),
                "recipe": shlex.join(
                    word for choice in kinds[name].recipe.items() for word in as_words(*choice)
                )
                or "the defaults of metadescent train",
                "learn on it": f"metadescent train {name}",
                "pretrained": ", ".join(
                    card.name for card in cards.values() if _named(name, card.trained_on)
                ),
            },
        ),
        "optimizers": Listing(
            "train PROBLEM --optimizer NAME",
            {name: _first_line(rules[name]) for name in sorted(rules)},
            lambda name: {
                "what it is": _first_line(rules[name]),
                "options": _options(rules[name]),
                "train one": f"metadescent train quadratic --optimizer {name}",
                "pretrained": ", ".join(
                    card.name for card in cards.values() if _named(name, card.optimizer)
                ),
            },
        ),
        "zoo": Listing(
            "evaluate NAME PROBLEM",
            {
                # Two losses are shown together or not at all.
                name: f"{card.verdict.replace(' against ', AGAINST)}. {card.purpose}"
                for name, card in cards.items()
            },
            lambda name: {
                "what it is": cards[name].purpose,
                "optimizer": cards[name].optimizer,
                "trained on": f"{cards[name].trained_on}, {cards[name].horizon}",
                "size": cards[name].size,
                "loss": f"{cards[name].loss} on {cards[name].seeds} problems",
                "best tuned": cards[name].baseline,
                "verdict": cards[name].verdict,
                "licence": cards[name].licence,
                "made by": cards[name].command,
            },
            frozenset(name for name, card in cards.items() if card.behind),
        ),
        "hand-designed": Listing(
            "tune NAME PROBLEM",
            {name: rule.label for name, rule in BASELINES.items()},
            lambda name: {
                "what it is": f"{BASELINES[name].label}, hand-designed",
                "rates": "searched from 1e{} to 1e{} at first".format(*BASELINES[name].decades),
                "for pictures": ""
                if (rate := BASELINES[name].usual_rate) is None
                else f"rate {number(rate)} in stylize",
                "tune it": f"metadescent tune {name} quadratic",
            },
        ),
        "estimators": Listing(
            "train PROBLEM --estimator NAME",
            {name: _first_line(made) for name, made in sorted(estimators.items())},
            lambda name: {
                "what it is": _first_line(estimators[name]),
                "options": _options(estimators[name]),
                "try it": f"metadescent train quadratic --estimator {name}",
            },
        ),
        "loggers": Listing(
            "train PROBLEM --log NAME",
            {name: _first_line(kind) for name, kind in sorted(kinds_of_logger.items())},
            lambda name: {
                "what it is": _first_line(kinds_of_logger[name]),
                "options": _options(kinds_of_logger[name]),
                "try it": f"metadescent train quadratic --log {name}",
            },
        ),
        "figures": Listing(
            "reproduce FIGURE",
            {name: about(name) for name in figures},
            lambda name: {
                "what it is": about(name),
                "optimizers": ", ".join(figures[name].optimizers),
                "make it": f"metadescent reproduce {name}",
            },
        ),
    }


def _facts(name: str, groups: Mapping[str, Listing]) -> dict[str, str]:
    """Return what is known of a name, with or without options."""
    bare = name.partition("(")[0].strip()
    for title, group in groups.items():
        if bare in group.lines:
            facts = {"name": bare, "group": title} | dict(group.facts(bare))
            return {fact: value for fact, value in facts.items() if value}
    known = [*groups, *(name for group in groups.values() for name in group.lines)]
    raise UserError(f"nothing is named {name!r}; {nearest(name, known)}")


def _named(name: str, spec: str) -> bool:
    """Tell whether a specification uses a name, anywhere in a sum or a chain."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", spec) is not None


def _options(make: Callable[..., Any]) -> str:
    """Return the options that something is made with, as Python writes them."""
    from metadescent._names import parameters_of

    options = [
        parameter.replace(annotation=Parameter.empty)
        for name, parameter in parameters_of(make).items()
        if name not in ("key", "data_dir") and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return ", ".join(map(str, options))


def _first_line(thing: Any) -> str:
    return (getdoc(thing) or "").partition("\n")[0]
