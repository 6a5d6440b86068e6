"""What the doctor says, in print."""

from collections.abc import Sequence
from pathlib import Path

from metadescent.cli.console import output
from metadescent.runs.checkup import read_checkup
from metadescent.runs.doctor import Finding, diagnose


def print_summary(folder: Path) -> None:
    """Print what a run's own log says of it; nothing is computed."""
    print_findings(diagnose(read_checkup(folder)))


def print_findings(findings: Sequence[Finding]) -> None:
    """Print verdicts, the numbers behind them and what to try."""
    out = output()
    for finding in findings:
        out.print(f"[bold]{finding.verdict}[/bold]: {_plain(finding.numbers)}.")
        if finding.remedy:
            out.print(f"  {_plain(finding.remedy)}.")


def _plain(text: str) -> str:
    """Return a text in which nothing is markup."""
    # Rich would take [0.1, 0.2] for a style.
    return text.replace("[", r"\[")
