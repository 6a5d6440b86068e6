"""Judge the claims of a figure again from the results of all runs in its JSON, with NumPy alone.

metadescent reproduce figure4 --json figure4.json
python examples/judge_again.py figure4.json
"""

import functools
import json
import math
import sys
from pathlib import Path

import numpy as np


@functools.cache
def student(dof, level):
    """The quantile of Student's t, from its density."""
    t = np.linspace(0.0, 2000.0 / dof**2 + 20.0, 2_000_001)
    log = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - math.log(math.pi * dof) / 2
    density = np.exp(log - (dof + 1) / 2 * np.log1p(t**2 / dof))
    area = np.cumsum(density[1:] + density[:-1]) * (t[1] - t[0]) / 2
    return np.interp(level / 2, area, t[1:])


def values(runs, value):
    """The results of an optimizer, run by run; divided by another's, if `over` names one."""
    of = runs[value["panel"]][value["quantity"]]
    mine, over = (np.asarray(of.get(value[x], 1.0), float) for x in ("name", "over"))
    return mine / over


def holds(pair, runs, level):
    """Whether `mine` is less than `margin` times `other` on the same problems (or is not less)."""
    mine, other, margin = pair["mine"], pair["other"], pair["margin"]
    gone = [runs[mine["panel"]]["blown_up"].get(mine["over"], [])]
    gone += [runs[other["panel"]]["blown_up"].get(other[x], []) for x in ("name", "over") if other]
    a = values(runs, mine)
    b = values(runs, other) if other else np.ones_like(a)
    if runs[mine["panel"]]["blown_up"].get(mine["name"]) or len(a) != len(b):
        return False
    counted = np.setdiff1d(np.arange(len(a)), np.concatenate(gone).astype(int))
    a, b = (x.reshape(len(x), -1)[counted] for x in (a, b))
    if pair["by"] == "run":
        return bool(np.all(a < margin * b if pair["less"] else a >= margin * b))
    n, apart = len(a), a - margin * b
    if n < 2 or (margin != 1 and (np.minimum(a.mean(0), b.mean(0)) < 0).any()):
        return False
    reach = student(n - 1, level) * apart.std(0, ddof=1) / math.sqrt(n)
    bound = apart.mean(0) + reach if pair["less"] else reach - apart.mean(0)
    return bool(np.all(bound < 0))


def judged(figure):
    """Whether each claim holds: one of its alternatives and all claims in its `given` must hold."""
    claims = {claim["id"]: claim for claim in figure["claims"]}

    def verdict(claim):
        level = 1 - 0.05 / max(len(claim["alternatives"]), 1)
        passed = [
            pairs and all(holds(pair, figure["runs"], level) for pair in pairs)
            for pairs in claim["alternatives"]
        ]
        return any(passed) and all(verdict(claims[id]) for id in claim["given"])

    return {id: verdict(claim) for id, claim in claims.items()}


if __name__ == "__main__":
    for name, verdict in judged(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).items():
        print("yes" if verdict else "no ", name)
