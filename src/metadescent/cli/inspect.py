"""`inspect`: the file of an optimizer, or the default recipe of a problem."""

import json
import os
import shlex
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from tyro.conf import Positional, arg

from metadescent._errors import UserError
from metadescent._lines import continued
from metadescent.cli.command import Command, as_words
from metadescent.cli.words import DataDir, Trust

LONGEST_LINE = 78


@dataclass(frozen=True)
class Inspect(Command):
    """Show an optimizer's parameters and card, or the default recipe of a problem, and θ."""

    place = 7

    name: Positional[Annotated[str, arg(metavar="OPTIMIZER|PROBLEM")]]
    """Pretrained optimizer, its file, a run folder, hf://user/repo; or a problem, as for train."""
    trust: Trust = False
    data_dir: DataDir = None

    def run(self) -> None:
        """Print what is known of an optimizer or of a problem."""
        from metadescent import zoo
        from metadescent._spec import calls, parse
        from metadescent._text import nearest
        from metadescent.registry import problems
        from metadescent.zoo.hub_names import on_hub

        known, given = problems(), self.name in zoo.names() or os.path.lexists(self.name)
        given = given or on_hub(self.name)
        if not given and all(
            ":" in call.name or call.name in known for call in calls(parse(self.name))
        ):
            _show_problem(self.name, self.data_dir)
            return
        if not given and "/" not in self.name:
            raise UserError(
                f"there is no pretrained optimizer, no file and no problem {self.name!r}; "
                f"{nearest(self.name, [*zoo.names(), *known])}"
            )
        _show_optimizer(zoo.pinned(self.name), self.trust)


def _show_optimizer(name: Any, trust: bool) -> None:
    """Print the arrays of φ, and the card."""
    import equinox as eqx

    from metadescent import zoo
    from metadescent.cli.console import output
    from metadescent.runs.own import load
    from metadescent.zoo.cards import read_card

    path = zoo.path(name)
    card, m = read_card(path), load(name, trust=trust)
    phi, out = eqx.filter(m, eqx.is_array), output()
    out.print(_leaves(f"{path.name}: {{}} parameters", "φ", phi))
    # The curve of a long run would push everything else off the screen.
    if isinstance(card.get("validation"), dict):
        card["validation"] = {"loss": card["validation"].get("loss")}
    out.print(json.dumps(card, indent=2, ensure_ascii=False), soft_wrap=True)


def _show_problem(name: str, data_dir: Any) -> None:
    """Print what θ is, whether f is random, and the recipe with its flags."""
    import jax

    from metadescent import zoo
    from metadescent._spec import Call, calls, parse
    from metadescent.cli.console import output, table
    from metadescent.descent.outside import LOOKED_AT, check_start
    from metadescent.descent.tuning import draws_minibatches
    from metadescent.registry import make_problem, problems, recipe_of
    from metadescent.runs.recipe import STATED, Recipe
    from metadescent.zoo.cards import read_card

    problem, first = make_problem(name, data_dir), calls(parse(name))[0].name
    key, out = jax.random.key(0), output()
    check_start(problem, key, LOOKED_AT, moves=True)
    theta = problem.sample(key).init(key)
    out.print(_leaves(f"{name}: θ has {{}} coordinates", "θ", theta))
    out.print(
        "f(θ) differs from step to step: it draws minibatches, or noise."
        if draws_minibatches(problem, key)
        else "f(θ) is the same at each step: it draws no minibatches."
    )
    own, known = recipe_of(name), problems()
    recipe = replace(Recipe(), **own)
    papers = isinstance(parse(name), Call) and first in known
    papers = papers and any(place in known[first].summary for place in ("(section", "(figure"))
    rows = [
        [
            shlex.join(as_words(choice, value)),
            "the paper"
            if papers and choice in STATED
            else "this problem"
            if choice in own
            else "the default",
        ]
        for choice, value in asdict(recipe).items()
    ]
    out.print(table(f"{name}: default recipe", ["choice", "set by"], rows))
    searched = any(":" in call.name for call in calls(parse(name)))
    if searched:
        out.print("Without flags train looks for a better one, for ten minutes.")
    out.print("The same, with nothing left to a default:\n", soft_wrap=True)
    words = ["metadescent train", shlex.quote(name), *(row[0] for row in rows)]
    words += ["--recipe paper"] * searched
    out.print(continued(" ".join(words), min(out.width, LONGEST_LINE)))
    if papers:
        out.print("\nThe paper finds the meta-rate by random search: add --search 40.")
    if trained := [
        pretrained
        for pretrained in zoo.names()
        if calls(parse(read_card(zoo.path(pretrained))["trained_on"]))[0].name == first
    ]:
        out.print(f"\nPretrained on it: {', '.join(trained)}; inspect shows their recipes.")


def _leaves(title: str, symbol: str, tree: Any) -> Any:
    """Return a table of arrays by their paths; the title includes how many numbers there are."""
    import jax

    from metadescent._text import number
    from metadescent.cli.console import table

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    rows = [
        [
            jax.tree_util.keystr(at) or symbol,
            "×".join(map(str, x.shape)) or "1",
            number(float(x.std())),
        ]
        for at, x in leaves
    ]
    count = sum(x.size for _, x in leaves)
    return table(title.format(f"{count:,}"), [symbol, "shape", "std"], rows)
