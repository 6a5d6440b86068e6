"""`demo`: the whole workflow on quadratics, from scratch."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from metadescent._errors import UserError, require
from metadescent.cli.command import Command
from metadescent.runs.recipe import Recipe


@dataclass(frozen=True)
class Demo(Command):
    """Learn an optimizer for quadratics and compare it with tuned hand-designed ones (a minute)."""

    place = 2

    out: Path = Path("runs/demo")
    """Folder for the optimizer, the figure and the figures behind it."""
    epochs: int = 10
    """Epochs of meta-training."""
    seeds: int = 256
    """Fresh functions to compare on."""

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        require("epochs", self.epochs, 1)
        require("seeds", self.seeds, 1)

    def outputs(self) -> list[Path]:
        """Return the files of the comparison; the run checks its own folder."""
        from metadescent.figures.output import figure_paths

        return [self.out / "demo.json", *figure_paths(self.out / "demo")]

    def run(self) -> None:
        """Train, compare, draw."""
        from metadescent._files import write_json
        from metadescent.cli.baselines import quick_to_compile
        from metadescent.cli.console import output, progress
        from metadescent.cli.tables import print_comparison, save_curves
        from metadescent.cli.training import train_and_say
        from metadescent.descent.comparison import compare, problem_keys
        from metadescent.descent.tuning import baselines_for
        from metadescent.descent.tuning_cache import tune_each
        from metadescent.registry import make_problem, recipe_of
        from metadescent.runs.folder import OPTIMIZER
        from metadescent.runs.outcome import outcome_of, takes_searches
        from metadescent.runs.plan import initial_optimizer

        began = time.monotonic()
        recipe = replace(Recipe(), **{**recipe_of("quadratic"), "epochs": self.epochs})
        folder = self.out / "quadratic-lstm"
        _forget(folder, recipe)
        state = train_and_say(folder, "quadratic", recipe, None, resume=False, command="demo")
        problem = make_problem("quadratic")
        names, seed = baselines_for(problem), recipe.seed + 1
        # With functions this small most of the time goes into compilation.
        with progress("compare", 2 * len(names) + 3) as report, quick_to_compile():
            # The line search works at any rate near 1, and it takes problems one by one.
            searched = tune_each(
                [name for name in names if takes_searches(name)],
                problem,
                problem_keys(seed)[0],
                recipe.steps,
                min(32, 4 * self.seeds),
                progress=lambda text: report(text, 1),
            )
            comparison = compare(
                # The same rule with the φ that training started from.
                {"LSTM": state.best, "untrained": initial_optimizer(recipe)},
                problem,
                "quadratic",
                baselines=names,
                num_steps=recipe.steps,
                num_seeds=self.seeds,
                seed=seed,
                searched=searched,
                progress=lambda text: report(text, 1),
            )
        write_json(self.out / "demo.json", comparison.to_json())
        # With an axis down to 1e-10 all other curves would look like one.
        drawn = {n: c for n, c in comparison.curves.items() if not takes_searches(n)}
        save_curves(comparison._replace(curves=drawn), self.out / "demo")
        print_comparison(comparison)
        output().print(outcome_of(comparison, "LSTM", "it was trained on this problem"))
        seconds = time.monotonic() - began
        output().print(
            f"The optimizer is {folder / OPTIMIZER}, the curves but for L-BFGS's are "
            f"{self.out / 'demo.png'}; {seconds:.0f} s in all."
        )


def _forget(folder: Path, recipe: Recipe) -> None:
    """Remove the files that an earlier demo left in a folder, and nothing else."""
    from metadescent._files import is_file, locked
    from metadescent.runs.folder import CONFIG, differences, files_of, read_config

    if not is_file(folder / CONFIG):
        return
    own = {"epochs", "form"}
    for name, begun, asked in differences(read_config(folder), "quadratic", recipe):
        if name not in own:
            raise UserError(
                f"{folder} holds another run than a demo's: its {name} is {begun!r} and not "
                f"{asked!r}; choose another place with --out"
            )
    with locked(folder):
        # The configuration makes the folder a run's, so it goes last.
        for path in reversed(files_of(folder)):
            path.unlink(missing_ok=True)
