"""`doctor`: why a meta-training run learns, or why it does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from metadescent._errors import require
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, File, Run, read_by


@dataclass(frozen=True)
class Doctor(Command):
    """Say whether a meta-training run has learned and, if not, why not and what to try."""

    place = 8

    folder: Run
    """Run folder."""
    on: Annotated[str | None, arg(metavar="PROBLEM")] = None
    """Problem to examine it on; the one that it was trained on if not given."""
    seeds: int = 32
    """Fresh problems."""
    json: File = None
    """Write measurements and findings here."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        require("seeds", self.seeds, 2)

    def outputs(self) -> list[Path]:
        """Return the file of measurements, if one is asked for."""
        return [self.json] if self.json else []

    def inputs(self) -> list[Path]:
        """Return the files of the run and of the problem."""
        return read_by(self.folder, self.on or "", data_dir=self.data_dir)

    def run(self) -> None:
        """Examine, print, and say what to try."""
        from metadescent._files import write_json
        from metadescent.cli.console import output, progress, table
        from metadescent.cli.tables import print_comparison, tuning_cache
        from metadescent.cli.verdicts import print_findings
        from metadescent.descent.tuning import baselines_for
        from metadescent.registry import make_problem
        from metadescent.runs.checkup import (
            best_of,
            count_examined,
            examine,
            measurements,
            read_checkup,
        )
        from metadescent.runs.doctor import diagnose
        from metadescent.runs.folder import config_here

        checkup = read_checkup(self.folder)
        name = self.on or config_here(self.folder)["problem"]
        problem = make_problem(name, self.data_dir)
        names = baselines_for(problem)
        with progress("doctor", count_examined(names)) as report:
            examination = examine(
                best_of(self.folder, checkup.recipe),
                problem,
                checkup.recipe,
                baselines=names,
                num_seeds=self.seeds,
                cache=tuning_cache(),
                progress=lambda text: report(text, 1),
            )
        checkup = checkup._replace(examination=examination)
        rows = [list(row) for row in measurements(checkup)]
        findings = diagnose(checkup)
        if self.json:
            write_json(
                self.json,
                {"measured": dict(rows), "findings": [finding._asdict() for finding in findings]},
            )
        title = f"{self.folder}, {self.seeds} fresh problems of {name}"
        output().print(table(title, ["", "measured"], rows, text=[""]))
        if examination.comparison:
            print_comparison(examination.comparison._replace(problem=name))
        print_findings(findings)
