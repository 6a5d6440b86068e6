"""Specifications: how problems, optimizers and estimators are written, read into a tree.

    call    name(option=literal, …)           lstm(layers=(20, 20))
    chain   call >> call                      lstm >> pace
    groups  leaves -> rule + leaves -> rule   conv/* -> lstm + * -> rnnprop
    sum     call + call                       mnist + convex
    guard   the last call of a chain          lstm >> guard

Options are literals, so nothing is evaluated. A name may be that of something in a file, as in
`my file (1).py:lines`. The path may have spaces and brackets, and also signs if the file exists.
"""

import ast
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from metadescent._errors import UserError


class Call(NamedTuple):
    """A name and its options."""

    name: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return self.in_full() if self.options else self.name

    def in_full(self) -> str:
        """Return the text with its brackets, even where there is nothing in them."""
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"


class Chain(NamedTuple):
    """Rules in turn: each is fed what the rule before it returns."""

    links: tuple[Call, ...]

    def __str__(self) -> str:
        return " >> ".join(map(str, self.links))


Rule = Call | Chain


class Groups(NamedTuple):
    """Rules for groups of leaves: pairs of the pattern of a group and its rule."""

    groups: tuple[tuple[str, Rule], ...]

    def __str__(self) -> str:
        return " + ".join(f"{takes} -> {rule}" for takes, rule in self.groups)


class Sum(NamedTuple):
    """Things side by side."""

    terms: tuple[Rule, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


Spec = Call | Chain | Groups | Sum


def parse(text: str, home: str | os.PathLike[str] = "") -> Spec:
    """Read a specification, with paths from `home` on; `str` writes it again."""
    held = _held(text, home)
    if held != text:
        return renamed(parse(held), lambda name: name.translate({v: k for k, v in HELD.items()}))
    terms = _split(text, "+")
    if "->" in _masked(text):
        return Groups(tuple(map(_group, terms)))
    if len(terms) > 1:
        return Sum(tuple(map(_rule, terms)))
    return _rule(terms[0])


def calls(spec: Spec) -> list[Call]:
    """Return all calls of a tree, in the order in which they are written."""
    match spec:
        case Call():
            return [spec]
        case Groups(groups):
            branches: Iterable[Spec] = (rule for _, rule in groups)
        case Chain(links):
            branches = links
        case Sum(terms):
            branches = terms
    return [call for branch in branches for call in calls(branch)]


GUARD = "guard"
"""The name of the call that ends the chain of a guarded rule."""


def guard_of(spec: Spec) -> tuple[Spec, Call | None]:
    """Return a rule without the guard behind it, and that guard, if there is one."""
    if not isinstance(spec, Chain) or spec.links[-1].name != GUARD:
        return spec, None
    *links, guard = spec.links
    return (Chain(tuple(links)) if len(links) > 1 else links[0]), guard


def renamed(spec: Spec, name: Callable[[str], str]) -> Any:
    """Return a tree with other names in its calls."""
    match spec:
        case Call():
            return spec._replace(name=name(spec.name))
        case Groups(groups):
            return Groups(tuple((takes, renamed(rule, name)) for takes, rule in groups))
        case Chain(rules) | Sum(rules):
            return type(spec)(tuple(renamed(rule, name) for rule in rules))


_SIGNS = r"\s(?:\+|>>|->)\s"
HELD = {ord(sign): 0xE000 + ord(sign) for sign in " ()='\""}
"""What replaces the signs, spaces and brackets of a path while a text is read."""
# The text before ".py:" is a path, unless it lies within an option.
_PATH = rf"(?:(?!{_SIGNS}|\([^()'\"]*=\s*['\"]).)*?\.py:"


# A quoted text that is the value of an option, or a part of the value.
_QUOTED = r"""([=,\[({]\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""


def _masked(text: str) -> str:
    """Return a text of the same length, in which paths and quoted values are crossed out."""
    for hidden in (rf"(^|{_SIGNS})({_PATH})", _QUOTED):
        text = re.sub(hidden, lambda at: at[1] + "x" * len(at[2]), text, flags=re.DOTALL)
    return text


def _held(text: str, home: str | os.PathLike[str]) -> str:
    """Return a text in which the paths of existing files have no signs of their own."""
    begins = [0, *(sign.end() for sign in re.finditer(_SIGNS, text))]
    for end in (match.end() - 1 for match in re.finditer(r"\.py:", text)):
        for begin in (begin for begin in begins if begin < end):
            path = text[begin:end]
            held = path.translate(HELD)
            if held != path and os.path.isfile(os.path.join(home, os.path.expanduser(path))):
                return _held(text[:begin] + held + text[end:], home)
    return text


def _group(term: str) -> tuple[str, Rule]:
    arrow = _masked(term).find("->") % (len(term) + 1)
    takes, rule = term[:arrow].strip(), term[arrow + 2 :].strip()
    if not (takes and rule):
        raise UserError(
            f"{term!r} does not say which leaves go to which optimizer; try '* -> lstm'"
        )
    return takes, _rule(rule)


def _rule(text: str) -> Rule:
    links = [_call(link) for link in _split(text, ">>")]
    return Chain(tuple(links)) if len(links) > 1 else links[0]


def _call(text: str) -> Call:
    bracket = _masked(text).find("(")
    if bracket < 0:
        return Call(text, {})
    name, rest = text[:bracket], text[bracket + 1 :]
    try:
        # "my file.py:Mine" and "mnist-40" are not names in Python, so f stands for the name.
        call = ast.parse(f"f({rest}", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
            raise ValueError
        options = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
        if len(options) != len(call.keywords):
            raise ValueError  # **options, or an option given twice
        return Call(name.strip(), options)
    # Brackets that are nested thousands deep are too much for Python's own parser.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(
            f"cannot read {text!r}; write options like quadratic(dimension=20), values as literals"
        ) from error


def _split(text: str, sign: str) -> list[str]:
    """Split a text at a sign that stands between spaces, outside of brackets."""
    parts, depth, end = [""], 0, 0
    for piece in re.split(rf"(\s{re.escape(sign)}\s|[()])", _masked(text)):
        begin, end = end, end + len(piece)
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece.strip() == sign and depth == 0:
            parts.append("")
        else:
            parts[-1] += text[begin:end]
    return [part.strip() for part in parts]
