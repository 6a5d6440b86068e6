"""The bench as independent pieces of work, for this process or for workers: plain data in and out.

One piece is one optimizer on one task over one horizon.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from metadescent._errors import UserError
from metadescent._text import nearest
from metadescent.bench.kept import reference_of
from metadescent.bench.measured import POINTS, Judged, Measured, measure
from metadescent.bench.reference import key_of, listed
from metadescent.bench.rivals import RIVALS
from metadescent.bench.score import Score, score_of
from metadescent.bench.task import every_task
from metadescent.descent.curves import final_loss, or_infinite
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.runs.own import load


class Benching(NamedTuple):
    """One optimizer on one task over one horizon."""

    optimizer: str
    task: str
    steps: int
    seeds: int
    seed: int
    data_dir: str | None
    cache: str | None
    trust: bool = False


def run_benching(work: Benching) -> dict[str, Any]:
    """Do a `Benching`: return its score and mean curves, with the rate where there is a choice."""
    split = every_task()[work.task].make(Path(work.data_dir) if work.data_dir else None)
    reference = reference_of(
        work.task,
        split,
        num_steps=work.steps,
        num_seeds=work.seeds,
        seed=work.seed,
        folder=Path(work.cache) if work.cache else None,
    )
    rules, judged = rules_of(work)
    of_rate = {
        rate: measure(
            m,
            split,
            key_of(work.seed),
            num_steps=work.steps,
            num_seeds=work.seeds,
            judged=judged,
        )
        for rate, m in rules.items()
    }
    # Of a hand-designed one that has several rates, the one that ends lowest stands for it.
    best = min(of_rate, key=lambda rate: _end(of_rate[rate]))
    measured = of_rate[best]
    score = score_of(measured, reference)._asdict()
    return {
        # JSON knows neither NaN nor infinity.
        "score": {name: x if math.isfinite(x) else None for name, x in score.items()},
        "rate": best,
        "train": listed(or_infinite(measured.train).mean(0)),
        "held_out": listed(or_infinite(measured.held_out).mean(0)),
        "reference": reference.to_json(),
    }


def rules_of(work: Benching) -> tuple[dict[str, AnyOptimizer], Judged | None]:
    """Return the optimizers that a name stands for, by rate, and where they are judged."""
    rival = RIVALS.get(work.optimizer)
    if rival is None:
        return {"": load(work.optimizer, trust=work.trust)}, None
    return {f"{float(m.rate):.3g}": m for m in rival.at_each(work.steps)}, rival.judged


def score_from(result: dict[str, Any]) -> Score:
    """Return the score of what `run_benching` returned."""
    figures: Any = {name: math.nan if x is None else x for name, x in result["score"].items()}
    return Score(**figures)


def tasks_named(text: str) -> list[str]:
    """Return the tasks that a list names: by name, by kind, or all.

    Raises:
        UserError: if one of the names is neither.
    """
    tasks = every_task()
    kinds = sorted({task.kind for task in tasks.values()})
    chosen: list[str] = []
    for word in filter(None, text.split(",")):
        if word not in (*tasks, *kinds, "all"):
            raise UserError(f"there is no task {word!r}; {nearest(word, [*tasks, *kinds, 'all'])}")
        chosen += [n for n, task in tasks.items() if word in (n, task.kind, "all")]
    if not chosen:
        raise UserError("no task is named; try --tasks all")
    return list(dict.fromkeys(chosen))


def check_horizon(steps: int) -> None:
    """Raise a UserError unless a horizon can be cut into the points at which losses are taken."""
    if steps < POINTS or steps % POINTS:
        raise UserError(
            f"a horizon of {steps} steps is not a multiple of {POINTS}, at which losses are taken; "
            f"try {max(1, round(steps / POINTS)) * POINTS}"
        )


def _end(measured: Measured) -> float:
    return float(final_loss(or_infinite(measured.train).mean(0)))
