"""The doctor's verdicts, in print."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from metadescent.cli.console import output, progress
from metadescent.cli.tables import tuning_cache
from metadescent.descent.tuning import baselines_for
from metadescent.problems.base import Problem
from metadescent.runs.checkup import EXAMINED, best_of, count_examined, examine, read_checkup
from metadescent.runs.doctor import diagnose
from metadescent.runs.finding import Finding

GRID = 13
"""The usual number of rates in a search."""
SHARE = 3
"""A meta-gradient costs at least so many gradients of f; judging must not take longer."""


def print_summary(folder: Path) -> None:
    """Print the verdicts from a run's own log; nothing is computed."""
    print_findings(diagnose(read_checkup(folder)))


def print_verdicts(folder: Path, problem: Problem) -> None:
    """Print the verdicts of `doctor`; only those from the log, if training was much shorter."""
    checkup = read_checkup(folder)
    recipe, names = checkup.recipe, baselines_for(problem)
    trained = len(checkup.metrics) * recipe.episodes * recipe.steps * recipe.problems
    searched = len(names) * GRID * EXAMINED * recipe.steps
    if searched > SHARE * trained:
        print_findings(diagnose(checkup))
        return
    with progress("judge", count_examined(names)) as report:
        examination = examine(
            best_of(folder, recipe),
            problem,
            recipe,
            baselines=names,
            num_seeds=EXAMINED,
            cache=tuning_cache(),
            progress=lambda text: report(text, 1),
        )
    print_findings(diagnose(checkup._replace(examination=examination)))


def print_findings(findings: Sequence[Finding]) -> None:
    """Print verdicts, the numbers behind them and what to try."""
    out = output()
    for finding in findings:
        out.print(Text.assemble((finding.verdict, "bold"), f": {finding.numbers}."))
        if finding.remedy:
            out.print(f"  {finding.remedy}.")
