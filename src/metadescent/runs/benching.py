"""The bench as independent pieces of work, for this process or for workers: plain data in and out.

One piece is one optimizer on one task over one horizon.
"""

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._text import nearest
from metadescent.bench.kept import reference_of
from metadescent.bench.measured import POINTS, Measured, measure
from metadescent.bench.reference import key_of, listed
from metadescent.bench.rivals import RIVALS
from metadescent.bench.score import TaskScore, score_of
from metadescent.bench.searches import least
from metadescent.bench.task import every_task
from metadescent.descent.beginnings import is_begun, trained_of
from metadescent.descent.curves import final_loss, or_infinite
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.optimizers.horizon import for_open_steps
from metadescent.runs.own import load
from metadescent.runs.plan import as_it_begins
from metadescent.zoo.cards import read_card


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
    """Do a `Benching`; return its score, its mean curves and its rate, if rates were compared."""
    split = every_task()[work.task].make(Path(work.data_dir) if work.data_dir else None)
    reference = reference_of(
        work.task,
        split,
        num_steps=work.steps,
        num_seeds=work.seeds,
        seed=work.seed,
        folder=Path(work.cache) if work.cache else None,
    )

    rival = RIVALS.get(work.optimizer)

    @functools.cache
    def run(place: int) -> Measured:
        asked = {"num_steps": work.steps, "num_seeds": work.seeds}
        return measure(
            rule_of(work, place), split, key_of(work.seed), judged=rival and rival.judged, **asked
        )

    # A hand-designed optimizer with several rates is scored at the rate that ends lowest.
    best = least(lambda k: _end(run(k)), len(rival.rates), rival.first) if rival else 0
    measured = run(best)
    score = score_of(measured, reference)._asdict()
    # The next task compiles other programs, and a process can map only so many of them.
    jax.clear_caches()
    return {
        # JSON has neither NaN nor infinity.
        "score": {name: x if math.isfinite(x) else None for name, x in score.items()},
        "rate": f"{rival.rates[best]:.3g}" if rival else "",
        "train": listed(or_infinite(measured.train).mean(0)),
        "held_out": listed(or_infinite(measured.held_out).mean(0)),
        "reference": reference.to_json(),
    }


def rule_of(work: Benching, place: int = 0) -> AnyOptimizer:
    """Return the optimizer of a piece of work; a hand-designed one takes the rate at `place`."""
    if rival := RIVALS.get(work.optimizer):
        return rival.at(place, work.steps)
    name = trained_of(work.optimizer)
    # `load` comes first, as it refuses the code of strangers, which a card may name.
    m = load(name, trust=work.trust)
    if is_begun(work.optimizer):
        m = as_it_begins(read_card(zoo.path(name)), f"the card of {name}")
    return for_open_steps(m, work.steps)


def score_from(result: dict[str, Any]) -> TaskScore:
    """Return the score of what `run_benching` returned."""
    figures: Any = {name: math.nan if x is None else x for name, x in result["score"].items()}
    return TaskScore(**figures)


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
