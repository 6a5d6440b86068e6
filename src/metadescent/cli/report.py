"""`report`: everything that is known of a run, on one page."""

from dataclasses import dataclass
from pathlib import Path

from metadescent._errors import require
from metadescent.cli.command import Command
from metadescent.cli.words import ALL, DataDir, File, Names, Run, read_by


@dataclass(frozen=True)
class Report(Command):
    """Write one page of HTML on a run: configuration, curves, comparison, pictures and verdicts."""

    place = 9

    folder: Run
    """Run folder."""
    out: File = None
    """File to write; report.html in the run's folder if not given."""
    seeds: int = 32
    """Fresh problems to compare on."""
    against: Names = ALL
    """Tuned optimizers; all: the paper's, adamw, and lbfgs where f draws no minibatch."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        require("seeds", self.seeds, 2)

    def outputs(self) -> list[Path]:
        """Return the one file, which is the page of a run."""
        from metadescent.runs.folder import read_config

        read_config(self.folder)
        return [self.out or self.folder / "report.html"]

    def inputs(self) -> list[Path]:
        """Return the files of the run."""
        return read_by(self.folder, data_dir=self.data_dir)

    def run(self) -> None:
        """Write the page, and print its verdicts."""
        from metadescent._files import write_atomically
        from metadescent.cli.baselines import baselines_of
        from metadescent.cli.console import output, progress
        from metadescent.cli.tables import tuning_cache
        from metadescent.cli.verdicts import print_findings
        from metadescent.registry import make_problem
        from metadescent.runs.checkup import best_of, read_checkup
        from metadescent.runs.folder import config_here
        from metadescent.runs.report import count_reports, made_by, run_page

        checkup, config = read_checkup(self.folder), config_here(self.folder)
        problem_name = config["problem"]
        problem = make_problem(problem_name, self.data_dir)
        names, m = baselines_of(self.against, problem), best_of(self.folder, checkup.recipe)
        with progress("report", count_reports(names)) as report:
            text, findings = run_page(
                checkup,
                m,
                problem,
                problem_name,
                baselines=names,
                num_seeds=self.seeds,
                cache=tuning_cache(),
                progress=lambda text: report(text, 1),
                made=made_by(self.line(), config),
            )
        (path,) = self.outputs()
        write_atomically(path, text)
        print_findings(findings)
        output().print(f"Report: {path}")
