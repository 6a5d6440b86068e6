"""Learn on each of the ten families of examples/gallery, and draw and tabulate what came out.

    python tools/gallery.py --out runs/gallery

A second call goes on with what a first one left. `--draw FILE` writes the figure; the table that is
printed is Markdown. Every optimizer learns on tasks of seed 0 and is judged on tasks of seed 1.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from metadescent.descent.baselines import BASELINES, STANDARD
from metadescent.descent.curves import Curve
from metadescent.descent.standings import speed_up
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.output import save_figure

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
LEARNED = "learned"


def learn(family: str, out: Path, words: list[str]) -> None:
    """Train on a family and evaluate it, unless that is done."""
    run, result = out / family, out / f"{family}.json"
    if result.exists():
        return
    resume = ["--resume"] if (run / "choice.json").exists() else []
    command("train", f"{FILE}:{family}", "--out", str(run), *resume, *words)
    against = [*STANDARD, *([] if family in MINIBATCHES else ["lbfgs"])]
    judged = f"{FILE}:{family}(seed=1)"
    command(
        *("evaluate", str(run), judged, "--seeds", "128"),
        *("--against", ",".join(against), "--json", str(result)),
    )


def command(*words: str) -> None:
    """Run a command of the package, and end where it fails."""
    subprocess.run([str(Path(sys.executable).parent / "metadescent"), *words], check=True)


def curves_of(path: Path) -> dict[str, Curve]:
    """Return the curves of a result, of which the learned optimizer's is `LEARNED`."""
    kept = json.loads(path.read_text(encoding="utf-8"))["curves"]
    curves = {}
    for name, curve in kept.items():
        mean = numbers(curve["mean"])
        low, high = numbers(curve["ci95"]).reshape(-1, 2).T
        key = name if name in BASELINES else LEARNED
        curves[key] = Curve(mean, low, high, curve["rate"], curve["diverged"])
    return curves


def numbers(kept: list) -> np.ndarray:
    """Return numbers of JSON, which knows no infinity."""
    return np.asarray(kept, dtype=float)


def row_of(family: str, out: Path, curves: dict[str, Curve]) -> list[str]:
    """Return what the table says of a family."""
    ends = {name: curve.last_tenth for name, curve in curves.items()}
    mine = curves[LEARNED].mean
    best = min((name for name in STANDARD if name in ends), key=lambda name: ends[name])
    beside = "–"
    if "lbfgs" in curves:
        best_of_all = min((n for n in ends if n != LEARNED), key=lambda name: ends[name])
        gain = speed_up(mine, curves["lbfgs"].mean)
        beside = f"{gain:.1f}" + (" (best of all)" if best_of_all == "lbfgs" else "")
    kept = json.loads((out / family / "choice.json").read_text(encoding="utf-8"))
    gain = speed_up(mine, curves[best].mean)
    return [
        f"`{family}`",
        str(kept["look"]["sizes"]["coordinates"]),
        kept["kept"][0],
        f"{gain:.1f}" if gain else "never",
        best,
        f"{ends[LEARNED] / ends[best]:.3g}",
        beside,
    ]


def main() -> None:
    """Learn, judge, tabulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--only", choices=FAMILIES, nargs="+", default=FAMILIES)
    options, words = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)
    panels = []
    print("| family | coordinates | kept | speed-up | best baseline | last tenth ÷ | L-BFGS |")
    print("|---|---|---|---|---|---|---|")
    for family in options.only:
        learn(family, options.out, words)
        curves = curves_of(options.out / f"{family}.json")
        print(f"| {' | '.join(row_of(family, options.out, curves))} |", flush=True)
        panels.append(Panel(curves, title=family))
    if options.draw:
        save_figure(draw_curves(panels, columns=2), options.draw)


if __name__ == "__main__":
    main()
