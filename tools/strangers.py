"""Measure somebody else's script with Adam and with learned optimizers in its one line.

    python tools/strangers.py [linear_torch …] [--seeds 16] [--steps 100] [--json FILE]

A script in `examples/strangers` makes an optimizer of metadescent's in one line, and its docstring
has the line that stood there before. The script is run with each of the optimizers in that line,
and with the earlier line. Nothing else is changed: for one seed all runs begin at the same θ₀ and
see the same minibatches. The loss is a mean over the last tenth of the steps. The loss of a step is
that of its minibatch before the update.
"""

import argparse
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent._text import number
from metadescent.cli.console import output, table
from metadescent.descent.curves import final_loss, summarize

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "strangers"
LEARNED = ("mnist-lstm", "mlp-robust-lstm", "classifier-lstm")


def variants(text: str) -> dict[str, str]:
    """Return a script with each optimizer in its one line, by the optimizer's name."""
    ((target, stood),) = re.findall(r"`(\w+) = (.+)` stood there", text)
    (line,) = re.finditer(rf'^( +{target} = ).*"(.+)".*$', text, re.MULTILINE)
    lines = {"Adam": line[1] + stood} | {name: line[0].replace(line[2], name) for name in LEARNED}
    return {name: text[: line.start()] + new + text[line.end() :] for name, new in lines.items()}


def run(text: str, seeds: range, steps: int = 100) -> np.ndarray:
    """Return the losses of a script, seeds × steps."""
    names: dict[str, Any] = {"__name__": "stranger"}
    exec(compile(text, "a stranger's script", "exec"), names)
    return np.array([names["train"](seed, steps) for seed in seeds])


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description="Run strangers' scripts with several optimizers.")
    parser.add_argument("scripts", nargs="*", help="without any: all in examples/strangers")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    rows, found = [], {}
    for script in given.scripts or sorted(path.stem for path in FOLDER.glob("*.py")):
        finals: dict[str, np.ndarray] = {}
        for name, text in variants((FOLDER / f"{script}.py").read_text()).items():
            began = time.perf_counter()
            curves = run(text, range(given.seeds), given.steps)
            seconds = (time.perf_counter() - began) / given.seeds
            finals[name] = final_loss(curves)
            curve = summarize(finals[name][:, None])
            low, mean, high = (float(x[0]) for x in (curve.low, curve.mean, curve.high))
            ahead = int((finals[name] < finals["Adam"]).sum())
            found[f"{script}, {name}"] = {
                "losses": finals[name].tolist(),
                "loss": mean,
                "low": low,
                "high": high,
                "seeds_below_adam": ahead,
                "seconds": seconds,
            }
            said = [f"{mean:.3f}", f"{low:.3f} – {high:.3f}"]
            less = "" if name == "Adam" else f"{ahead} of {given.seeds}"
            rows.append([script, name, *said, less, number(seconds)])
            print(*rows[-1], sep="  ", flush=True)
    columns = ["script", "optimizer", "loss", "95 %", "below Adam", "seconds a seed"]
    output().print(table(f"{given.steps} steps", columns, rows, text=["optimizer"]))
    if given.json:
        made = {"steps": given.steps, "hardware": hardware(), "versions": versions()}
        write_json(given.json, made | {"runs": found})


if __name__ == "__main__":
    main()
