"""The outcome of a comparison in a sentence: who won, by how much, and what training there was."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._spec import Call, calls, parse
from metadescent._text import number
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import Comparison
from metadescent.runs.naming import canonical
from metadescent.zoo.cards import read_card


def outcome_of(comparison: Comparison, name: str, training: str) -> str:
    """Return who won, by how much (speed-up, then loss), and what the optimizer was trained for."""
    best = comparison.reference
    if best is None:
        return f"{name} was compared with no other optimizer; {training}."
    signs = {other: beside.sign for other, beside in comparison.standings(name).items()}
    plain = {other: sign for other, sign in signs.items() if not takes_searches(other)}
    if all(sign > 0 for sign in plain.values()):
        said = f"{name} won against {_listed([*plain])}" if plain else name
    elif all(sign >= 0 for sign in plain.values()):
        said = f"{name} did not win: it is {not_ahead_of(plain)}"
    else:
        said = f"{name} lost: it is {not_ahead_of(plain)}"
    said += f"; {beside(comparison, name)}"
    for other in signs:
        if takes_searches(other):
            place = {1: "is behind it", 0: "is level with it", -1: "is ahead of it"}[signs[other]]
            fast = f" (speed-up {times(speed)})" if (speed := comparison.speed_up(other)) else ""
            said += f"; {other} {place}{fast}"
    return f"{said}; {training}."


def not_ahead_of(signs: Mapping[str, int]) -> str:
    """Return whom an optimizer is behind or level with; empty if it is ahead of all."""
    places = (("behind", -1), ("level with", 0))
    named = [(word, [other for other in signs if signs[other] == sign]) for word, sign in places]
    return " and ".join(f"{word} {_listed(others)}" for word, others in named if others)


def takes_searches(name: str) -> bool:
    """Tell whether a name is that of a baseline with a line search."""
    return name in BASELINES and BASELINES[name].searches_along_line


def times(speed_up: float | None) -> str:
    """Write a speed-up; 0 means never."""
    return "never" if speed_up == 0 else figure(speed_up)


def figure(value: float | None, otherwise: str = "–") -> str:
    """Write a number; something else, if the number is not finite or None."""
    return number(value) if value is not None and math.isfinite(value) else otherwise


def beside(comparison: Comparison, name: str) -> str:
    """Return how fast an optimizer reaches the reference's final loss, and where it ends."""
    best, speed_up = comparison.reference, comparison.speed_up(name)
    sign, losses = comparison.beside(best) if best else ("", {name: math.nan})
    loss = losses[name]
    if speed_up is None or math.isnan(speed_up):
        return f"{best}, the best baseline, diverges"
    ends = f"ends at {number(loss)} × that loss"
    if sign == "−":
        ends = f"ends {number(abs(loss))} {'above' if loss > 0 else 'below'} it"
    if not math.isfinite(loss):
        ends = "diverges"
    where = f"the final loss of {best}, the best first-order baseline,"
    if speed_up == 0:
        return f"it never gets to {where} and {ends}"
    return f"it gets to {where} {number(speed_up)} × as fast and {ends}"


def training_of(optimizer: str | Path, problem: str, name: str) -> str:
    """Return what is known of an optimizer's training, in relation to a problem."""
    card = read_card(zoo.path(optimizer))
    trained_on, chosen_on = card.get("trained_on"), card.get("chosen_on")
    if chosen_on and not trained_on:
        return untrained_on(chosen_on)
    if not trained_on:
        return f"the file of {name} does not say what it was trained on"
    same = [canonical("problem", str(text), Path.cwd()) for text in (problem, *_terms(trained_on))]
    if same[0] in same[1:]:
        return "it was trained on this problem" + (", among others" if len(same) > 2 else "")
    theirs, ours = (re.sub(r"^.*/(?=[^/]*\.py:)", "", text) for text in (trained_on, problem))
    if theirs.partition("(")[0] == ours.partition("(")[0]:
        return f"it was trained on {theirs}, and this is {ours}"
    return f"it was trained on {theirs}, and {ours} is not that"


def untrained_on(problem: str) -> str:
    """Return a sentence on a φ that no training on a problem improved."""
    return f"it is as it begins, which no training on {problem} improved on"


def _terms(problem: str) -> list[Call]:
    try:
        return calls(parse(problem))
    except UserError:
        return []


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
