"""`inspect`: what an optimizer's file says of it."""

import json
from dataclasses import dataclass

from metadescent.cli.command import Command
from metadescent.cli.words import Optimizer, Trust


@dataclass(frozen=True)
class Inspect(Command):
    """Show what an optimizer's file says of it, and its parameters."""

    place = 7

    optimizer: Optimizer
    """Pretrained optimizer, its file, or a run folder."""
    trust: Trust = False

    def run(self) -> None:
        """Print the arrays of φ, and the card."""
        import equinox as eqx
        import jax

        from metadescent import zoo
        from metadescent._text import number
        from metadescent.cli.console import output, table
        from metadescent.runs.own import load
        from metadescent.zoo.cards import read_card

        path = zoo.path(self.optimizer)
        card, m = read_card(path), load(self.optimizer, trust=self.trust)
        leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(m, eqx.is_array))
        rows = [
            [jax.tree_util.keystr(name), "×".join(map(str, phi.shape)), number(float(phi.std()))]
            for name, phi in leaves
        ]
        count = sum(phi.size for _, phi in leaves)
        out = output()
        out.print(table(f"{path.name}: {count:,} parameters", ["φ", "shape", "std"], rows))
        # The curve of a long run would push all else off the screen.
        if isinstance(card.get("validation"), dict):
            card["validation"] = {"loss": card["validation"].get("loss")}
        out.print(json.dumps(card, indent=2, ensure_ascii=False))
