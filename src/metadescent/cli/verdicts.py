"""What the doctor says, in print."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

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
        out.print(Text(finding.verdict, "bold") + Text(f": {finding.numbers}."))
        if finding.remedy:
            out.print(f"  {finding.remedy}.")
