"""One case: its forms, the floor, PyTorch and one applied update, timed in turn."""

import importlib.util
from typing import Any

import jax
import numpy as np
from applied import Update
from cases import Case
from floor import Floor, Machine
from meta_step import MetaStep, flat, forms_of
from timing import allowed_memory, in_turn, measured, median

BLOCK = 4096
# Two float32 computations of one thing in different order, relative to its norm.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4


def rounds(case: Case, repeats: int) -> dict[str, Any]:
    """Return what a case shows: forms, agreement, floor, machine and updates."""
    repeats = min(repeats, case.repeats)
    steps, skipped = _steps(case)
    agreement = _agreement(steps)
    n = sum(leaf.size for leaf in jax.tree.leaves(steps["two-phase"].begin.theta))
    result = {"words": case.words, "coordinates": n, "steps": case.steps}
    result |= {"segments": case.segments, "repeats": repeats}
    floors = {"floor": Floor(case, n)}
    if n > BLOCK:
        floors["floor, in blocks"] = Floor(case, n, BLOCK)
    machine = Machine()
    calls: dict[str, Any] = dict(steps)
    if case.segments > 1:
        calls |= {f"{form}, episode": step.episode for form, step in steps.items()}
    updates = {kind: Update(case, kind) for kind in ("learned", "adam")}
    calls |= {f"update, {kind}": update for kind, update in updates.items()}
    # These have clocks of their own; what `in_turn` makes of them is not used.
    notes: dict[str, list[dict[str, float]]] = {name: [] for name in (*floors, "machine")}
    calls |= {name: _noting(floor.measure, notes[name]) for name, floor in floors.items()}
    calls["machine"] = _noting(machine.rates, notes["machine"])
    seconds = in_turn(calls, repeats)

    forms: dict[str, Any] = {form: {"meta_step": measured(seconds[form])} for form in steps}
    for form in steps:
        forms[form] |= agreement[form]
        if case.segments > 1:
            forms[form]["episode"] = measured(seconds[f"{form}, episode"])
    result["forms"] = forms | skipped
    result["floors"] = {
        name: _floor(notes[name][1:], floor.scaling()) for name, floor in floors.items()
    }
    result["machine"] = {
        rate: {"median": median([note[rate] for note in notes["machine"][1:]])}
        | {"values": [note[rate] for note in notes["machine"][1:]]}
        for rate in ("flops", "bytes")
    }
    result["updates"] = {
        kind: measured(seconds[f"update, {kind}"], update.calls) | update.costs()
        for kind, update in updates.items()
    }
    return result


def _steps(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the meta-steps that fit the memory, and why each of the others is left out."""
    steps: dict[str, Any] = {}
    skipped: dict[str, Any] = {}
    for form in forms_of(case):
        step = MetaStep(case, form).compile()
        if step.predicted_bytes() > allowed_memory():
            skipped[form] = {"skipped": _too_large(step.predicted_bytes())}
        else:
            steps[form] = step
    if importlib.util.find_spec("torch") is None:
        skipped["torch"] = {"skipped": "not installed"}
        return steps, skipped
    from eager import EagerStep, predicted_bytes

    needed = predicted_bytes(case) if case.name == "million" else 0
    if needed > allowed_memory():
        skipped["torch"] = {"skipped": _too_large(needed)}
    else:
        steps["torch"] = EagerStep(case)
        steps["torch, 1 thread"] = EagerStep(case, threads=1)
    return steps, skipped


def _too_large(needed: int) -> str:
    return f"{needed / 2**30:.0f} GiB > {allowed_memory() / 2**30:.0f} GiB"


def _agreement(steps: dict[str, Any]) -> dict[str, Any]:
    """Compare L and dL/dφ of every segment with those of the first form, the plainest that runs.

    The largest relative error over segments; the sampled form is an estimate and agrees in L only.
    """
    episodes = {form: step.episode() for form, step in steps.items()}
    against = next(iter(episodes))
    vectors = {
        form: [np.asarray(getattr(steps[form], "flat", flat)(g), np.float64) for _, g in segments]
        for form, segments in episodes.items()
    }
    result = {}
    for form, segments in episodes.items():
        loss = max(
            abs(float(mine) / float(other) - 1)
            for (mine, _), (other, _) in zip(segments, episodes[against], strict=True)
        )
        gradient = max(
            float(np.linalg.norm(mine - other) / np.linalg.norm(other))
            for mine, other in zip(vectors[form], vectors[against], strict=True)
        )
        agrees = loss <= LOSS_TOLERANCE and gradient <= GRADIENT_TOLERANCE
        result[form] = {
            "against": against,
            "loss_error": loss,
            "gradient_error": gradient,
            "agrees": None if form == "sampled" else agrees,
        }
    return result


def _noting(call: Any, notes: list[dict[str, float]]) -> Any:
    return lambda: notes.append(call())


def _floor(notes: list[dict[str, float]], scaling: float) -> dict[str, Any]:
    """Return the floor of a meta-step in all, and operation by operation."""
    return {
        "meta_step": measured([sum(note.values()) for note in notes]),
        "operations": {name: measured([note[name] for note in notes]) for name in notes[0]},
        "scaling": scaling,
    }
