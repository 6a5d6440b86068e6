"""Learn on each of the ten families of examples/gallery, and draw and tabulate what came out.

    python tools/gallery.py --out runs/gallery

A second call goes on with what a first one left. `--draw FILE` writes the figure; the table that is
printed is Markdown. Every optimizer learns on tasks of seed 0 and is judged on tasks of seed 1.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from metadescent.cli.tables import tuning_cache
from metadescent.descent.baselines import STANDARD
from metadescent.descent.comparison import Comparison, compare
from metadescent.descent.standings import speed_up
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.output import save_figure
from metadescent.registry import make_problem
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.kept import repeated
from metadescent.runs.choice.verdict import LEARNED, UNTRAINED, advice
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of

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
MINIBATCHES = ("digit_pairs",)
SEEDS = 128
COLUMNS = (
    *("family", "coordinates", "seconds", "kept", "speed-up", "best baseline", "last tenth ÷"),
    *("untrained", "with L-BFGS"),
)


def learn(family: str, run: Path, words: list[str]) -> None:
    """Train on a family with the command that anyone would use, or go on with it."""
    resume = ["--resume"] if (run / "choice.json").exists() else []
    command = ["train", f"{FILE}:{family}", "--out", str(run), *resume, *words]
    subprocess.run([str(Path(sys.executable).parent / "metadescent"), *command], check=True)


def judge(family: str, run: Path) -> Comparison:
    """Compare what was kept with what it was untrained and with baselines, on tasks of seed 1."""
    journal = Journal(run, {})
    steps = journal.get("asked")["steps"]
    return compare(
        {LEARNED: load(run), UNTRAINED: plan_of(repeated(run, journal)).m},
        make_problem(f"{FILE}:{family}(seed=1)"),
        family,
        baselines=[*STANDARD, *([] if family in MINIBATCHES else ["lbfgs"])],
        num_steps=steps,
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
        f"{journal.seconds:.0f}",
        journal.get("kept")[0],
        times(comparison.speed_up(LEARNED)),
        best,
        f"{'' if sign == '÷' else sign + ' '}{beside[LEARNED]:.3g}",
        times(comparison.speed_up(UNTRAINED)),
        times(speed_up(curves[LEARNED].mean, curves[of_all].mean)) if "lbfgs" in curves else "",
    ]


def times(gain: float | None) -> str:
    """Return a speed-up in words, of which 0 is never."""
    return f"{gain:.1f}" if gain else "never"


def main() -> None:
    """Learn, judge, tabulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--only", choices=FAMILIES, nargs="+", default=FAMILIES)
    options, words = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)
    panels, rows, said = [], [], []
    for family in options.only:
        run = options.out / family
        learn(family, run, words)
        comparison = judge(family, run)
        rows.append(row_of(run, comparison))
        kept = Journal(run, {}).get("kept")[0]
        said.append(f"- `{family}`: {' '.join(advice(comparison, kept))}")
        panels.append(Panel(comparison.curves, title=family))
    for row in [COLUMNS, ["---"] * len(COLUMNS), *rows]:
        print(f"| {' | '.join(row)} |")
    print("", *said, sep="\n")
    if options.draw:
        save_figure(draw_curves(panels, columns=2), options.draw)


if __name__ == "__main__":
    main()
