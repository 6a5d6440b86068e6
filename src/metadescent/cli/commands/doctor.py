"""`doctor`: why a meta-training run learns, or why it does not."""

from collections.abc import Sequence
from pathlib import Path

from metadescent._files import write_json
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.commands.show import tuning_cache
from metadescent.cli.console import console, progress, table
from metadescent.registry import make_problem
from metadescent.runs.checkup import REPORTS, best_of, examine, read
from metadescent.runs.doctor import Finding, diagnose
from metadescent.runs.log import read_config
from metadescent.runs.measurements import measurements


@run.register
def _doctor(command: arguments.Doctor) -> None:
    checkup = read(command.run)
    name = read_config(command.run)["problem"]
    problem = make_problem(command.on or name, command.data_dir)
    m = best_of(command.run, checkup.recipe)
    with progress("doctor", REPORTS) as report:
        found = examine(
            m,
            problem,
            checkup.recipe,
            num_seeds=command.seeds,
            cache=tuning_cache(),
            progress=lambda text: report(text, 1),
        )
    checkup = checkup._replace(examination=found)
    rows = [list(row) for row in measurements(checkup)]
    title = f"{command.run}, {command.seeds} fresh problems of {command.on or name}"
    console().print(table(title, ["", "measured"], rows))
    findings = diagnose(checkup)
    say(findings)
    if command.json:
        write_json(
            command.json,
            {"measured": dict(rows), "findings": [finding._asdict() for finding in findings]},
        )


def summarize(folder: Path) -> None:
    """Print what a run's own log says of it; nothing is computed."""
    say(diagnose(read(folder)))


def say(findings: Sequence[Finding]) -> None:
    """Print verdicts, the numbers behind them and what to try."""
    out = console()
    for finding in findings:
        out.print(f"[bold]{finding.verdict}[/bold]: {_plain(finding.numbers)}.")
        if finding.remedy:
            out.print(f"  {_plain(finding.remedy)}.")


def _plain(text: str) -> str:
    """Return a text in which nothing is markup."""
    return text.replace("[", r"\[")
