"""Learn on families of problems, each by one command, and draw and tabulate the results.

    python tools/gallery.py --out runs/gallery
    python tools/gallery.py --out runs/gallery sines examples/pendulum.py:pendulum --minutes 3

Names are those of examples/gallery/families.py, all ten if none is given, or FILE:NAME. A second
call goes on with the runs of the first one. `--draw FILE` writes the figure; the table that is
printed is Markdown. Every optimizer learns on tasks of seed 0 and is judged on tasks of seed 1.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from metadescent.cli.tables import tuning_cache
from metadescent.descent.comparison import Comparison, compare
from metadescent.descent.standings import speed_up
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.output import save_figure
from metadescent.registry import make_problem
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.kept import repeated
from metadescent.runs.choice.look import names_for
from metadescent.runs.choice.verdict import LEARNED, UNTRAINED, advice
from metadescent.runs.log import read_metrics
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

FILE = Path(__file__).parents[1] / "examples" / "gallery" / "families.py"
FAMILIES = (
    "sines",
    "exponentials",
    "completion",
    "digit_pairs",
    "poisson_pinn",
    "arm",
    "mixture",
    "gp",
    "cluster",
    "denoising",
)
SEEDS = 128
COLUMNS = (
    *("family", "coordinates", "seconds", "kept", "speed-up", "best baseline", "last tenth ÷"),
    *("untrained", "with L-BFGS"),
)


def learn(problem: str, run: Path, words: list[str]) -> None:
    """Train on a family with the command that anyone would use, or go on with it."""
    resume = ["--resume"] if (run / "choice.json").exists() else []
    command = ["train", problem, "--out", str(run), *resume, *words]
    subprocess.run([str(Path(sys.executable).parent / "metadescent"), *command], check=True)


def judge(name: str, run: Path) -> Comparison:
    """Compare what was kept with what it was untrained and with baselines, on tasks of seed 1."""
    journal = Journal(run, {})
    problem = make_problem(f"{journal.get('asked')['problem']}(seed=1)")
    return compare(
        {LEARNED: load(run), UNTRAINED: plan_of(repeated(run, journal)).m},
        problem,
        name,
        baselines=names_for(problem),
        num_steps=journal.get("asked")["steps"],
        num_seeds=SEEDS,
        cache=tuning_cache(),
    )


def row_of(run: Path, comparison: Comparison) -> list[str]:
    """Return what the table says of a family."""
    journal, curves = Journal(run, {}), comparison.curves
    seen, best = journal.look(), comparison.reference
    assert seen is not None
    assert best is not None
    of_all = comparison.best_baseline(lambda curve: curve.last_tenth)
    sign, beside = comparison.beside(best)
    return [
        f"`{comparison.problem}`",
        str(seen.sizes.coordinates),
        f"{journal.seconds + seconds_after(read_metrics(run), journal.chosen()):.0f}",
        journal.get("kept")[0],
        times(comparison.speed_up(LEARNED)),
        best,
        # Where f is below 0 a difference stands for the ratio.
        f"{beside[LEARNED]:.3g}" if sign == "÷" else f"{beside[LEARNED]:+.3g}",
        times(comparison.speed_up(UNTRAINED)),
        times(speed_up(curves[LEARNED].mean, curves[of_all].mean)) if "lbfgs" in curves else "",
    ]


def seconds_after(metrics: list[dict[str, Any]], recipe: Recipe | None) -> float:
    """Return how long a run was trained after its trial."""
    before = metrics[: recipe.hold if recipe else 0]
    return metrics[-1]["seconds"] - (before[-1]["seconds"] if before else 0.0)


def times(gain: float | None) -> str:
    """Return a speed-up in words, of which 0 is never."""
    return f"{gain:.1f}" if gain else "never"


def main() -> None:
    """Learn, judge, tabulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("families", nargs="*", default=FAMILIES, metavar="NAME")
    parser.add_argument("--minutes", default="10")
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    words = ["--minutes", options.minutes, "--seed", options.seed]
    options.out.mkdir(parents=True, exist_ok=True)
    panels, rows, said = [], [], []
    for family in options.families:
        problem = family if ":" in family else f"{FILE}:{family}"
        name = problem.rpartition(":")[2]
        run = options.out / name
        learn(problem, run, words)
        comparison, kept = judge(name, run), Journal(run, {}).get("kept")[0]
        rows.append(row_of(run, comparison))
        said.append(f"- `{name}`: {' '.join(advice(comparison, kept))}")
        panels.append(Panel(comparison.curves, title=name))
    for row in [COLUMNS, ["---"] * len(COLUMNS), *rows]:
        print(f"| {' | '.join(row)} |")
    print("", *said, sep="\n")
    if options.draw:
        save_figure(draw_curves(panels, columns=2), options.draw)


if __name__ == "__main__":
    main()
