"""The `README.md` of an optimizer on the Hub, as text: the Hub's header in YAML, and the card."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from metadescent._text import number
from metadescent.zoo.cards import training_taken
from metadescent.zoo.hub_names import FILE, HubName

TAGS = ("learned-optimizer", "meta-learning", "jax")
LICENCES = (
    *("apache-2.0", "mit", "isc", "unlicense", "mpl-2.0", "bsd-2-clause", "bsd-3-clause"),
    *("gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "cc0-1.0"),
    *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
)
"""Licences that the header names; the Hub knows more, and these are written as other."""


class Contents(NamedTuple):
    """What is known of a file besides its card.

    spec        what makes its rule
    parameters  how many numbers φ has
    size        of the file, in bytes
    digest      the SHA-256 of the file, as `sha256sum` prints it
    in_pytorch  whether `metadescent.torch` is known to have its rule
    """

    spec: str
    parameters: int
    size: int
    digest: str
    in_pytorch: bool

    def loaded(self, name: object) -> str:
        """Return the line of code that loads the optimizer with this name on the Hub."""
        make = ", make=make" if ":" in self.spec else ""
        return f'metadescent.load("{name}"{make})'


def readme(name: HubName, contents: Contents, about: str, licence: str) -> str:
    """Return the whole text; `about` is from the card, and `licence` may be empty."""
    paragraphs = [
        header(licence, contents.in_pytorch),
        f"# {name.label}",
        f"A learned optimizer for metadescent: `{_code(contents.spec)}`, of which φ has "
        f"{contents.parameters:,} numbers.",
        about.strip(),
        "## Load it",
        "    pip install 'metadescent[hub]'",
        *_loading(name, contents),
        f"`{name}` is the newest commit. With a commit of this repository behind it, "
        f"`{name}@COMMIT`, it is the same file always. Loading it checks the file's own checksum, "
        "and runs no code from this repository.",
        f"The SHA-256 of `{FILE}`, which has {contents.size:,} bytes, is",
        f"    {contents.digest}",
        f"`metadescent inspect {name}` shows φ, and all that the file says of itself.",
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def header(licence: str, in_pytorch: bool) -> str:
    """Return the header that the Hub reads; a licence outside the list is given by its own name."""
    # YAML reads JSON's texts, except for characters that cannot be printed.
    licence = "".join(filter(str.isprintable, " ".join(licence.split())))
    known = licence.lower() in LICENCES
    lines = ["library_name: metadescent"]
    if licence:
        lines.append(f"license: {licence.lower() if known else 'other'}")
    if licence and not known:
        lines.append(f"license_name: {json.dumps(licence, ensure_ascii=False)}")
    lines += ["tags:", *(f"- {tag}" for tag in (*TAGS, *["pytorch"] * in_pytorch))]
    return "\n".join(["---", *lines, "---"])


def described(card: Mapping[str, Any]) -> str:
    """Return how an optimizer was made, from its file: a table of what is known, and its note.

    Example:
        >>> print(described({"trained_on": "quadratic", "recipe": {"steps": 100}, "seed": 0}))
        | | |
        |---|---|
        | trained on | `quadratic`, 100 steps |
        | seed | 0 |
    """
    recipe = card["recipe"] if isinstance(card.get("recipe"), dict) else {}
    rows = {
        "trained on": _trained_on(card, recipe),
        "budget": training_taken(card),
        "validation loss": _validation(card, recipe),
        "seed": card.get("seed"),
        "hardware": card.get("hardware"),
        "version of metadescent": card.get("version"),
    }
    told = {k: " ".join(str(v).split()) for k, v in rows.items() if v is not None and v != ""}
    lines = ["| | |", "|---|---|", *(f"| {fact} | {_cell(text)} |" for fact, text in told.items())]
    note = card.get("note")
    return "\n".join(lines * bool(told)) + (f"\n\n{note}" if isinstance(note, str) else "")


def _loading(name: HubName, contents: Contents) -> list[str]:
    """Return the line that loads it, as code."""
    if ":" in contents.spec:
        return [
            "Its class is not in metadescent and not in this repository. With that class at hand "
            f"`make` returns `{_code(contents.spec)}`, given this text and a key:",
            f"```python\nm = {contents.loaded(name)}\n```",
        ]
    lines = [f"```python\noptimizer = {contents.loaded(name)}.as_optax()\n```"]
    if contents.in_pytorch:
        call = f'metadescent.torch.LearnedOptimizer(model.parameters(), "{name}")'
        lines += ["In PyTorch:", f"```python\noptimizer = {call}\n```"]
    return lines


def _trained_on(card: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    if card.get("trained_on"):
        steps = f", {recipe['steps']} steps" if "steps" in recipe else ""
        return f"`{_code(card['trained_on'])}`{steps}"
    if card.get("chosen_on"):
        return f"nothing: it is as it begins, chosen on `{_code(card['chosen_on'])}`"
    return ""


def _validation(card: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Return the best loss; empty if φ was validated by levels, or was not trained."""
    validation = card.get("validation")
    loss = validation.get("loss") if isinstance(validation, dict) else None
    if not isinstance(loss, int | float) or recipe.get("levels") or not card.get("trained_on"):
        return ""
    problems = recipe.get("validation_problems")
    return number(loss, 4) + (f", the mean over {problems} problems" if problems else "")


def _code(text: object) -> str:
    """Return a text on one line that cannot end the code around it."""
    return " ".join(str(text).split()).replace("`", "'")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
