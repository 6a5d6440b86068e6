"""Optimizers as files; those of the user's own runs may be of a class of the user's own."""

from pathlib import Path

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._spec import calls, parse
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.registry import make_optimizer
from metadescent.runs.folder import CONFIG, config_here, read_config
from metadescent.zoo.cards import read_card
from metadescent.zoo.hub_names import on_hub


def load(name: str | Path, *, trust: bool = False) -> LearnedOptimizer:
    """Return an optimizer by its name, file or run folder, or from the Hub.

    A file by itself may not say which code to run. The configuration of its run may, as it does for
    `train --resume`, and so may a user who trusts the file.
    """
    path = zoo.path(name)
    spec = read_card(path)["optimizer"]
    if not any(":" in call.name for call in calls(parse(spec))):
        return zoo.load(path)
    # Files next to a file from the Hub are a stranger's too, and not a run of the user's.
    run = None if on_hub(name) else _named_by_run(path.parent, spec)
    named = run or (spec if trust else None)
    if named is None:
        raise UserError(
            f"{path} holds an optimizer of a class outside the package, {spec}, which is code, and "
            "does not lie in its run; where you trust that code, add --trust"
        )
    return zoo.load(path, make=lambda _, key: make_optimizer(named, key))


def _named_by_run(folder: Path, spec: str) -> str | None:
    """Return the name by which a run has the optimizer of this specification, as seen from here."""
    # The folder of several seeds or stages has the best optimizer of all of them.
    for run in (folder, *sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))):
        if (run / CONFIG).is_file() and read_config(run)["recipe"].get("optimizer") == spec:
            return config_here(run)["recipe"]["optimizer"]
    return None
