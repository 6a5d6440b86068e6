"""Verdicts on a meta-training run, in words: each with the numbers behind it and what to try.

Every threshold follows from what a number means, and not from runs that were looked at:

* PHI_STEP: a meta-step that changes φ by a tenth of the size that φ is drawn with. Ten such steps
  in one direction, or a hundred in random ones, replace all that φ was.
* RESPONSE: a first update of which less than one part in a hundred changes sign with the gradient.
  Such an update does not depend on the direction of descent.
* GIVEN_BACK: after twice the steps of training, more than half of the gain over doing nothing is
  lost.
* GIVEN_BACK, of a scale: with updates larger by that factor, the gain is more than twice as large.
* BLOWN_UP: a loss above that of doing nothing by ten times the size of the latter. Noise does not
  do this.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from metadescent.descent.curves import BLOWN_UP, final_loss, summarize
from metadescent.descent.standings import standing
from metadescent.runs.checkup import DRAWS, Checkup, Examination, at_scale
from metadescent.runs.checkup import LEARNED as LEARNED_NAME
from metadescent.runs.finding import Finding, Findings
from metadescent.runs.outcome import beside, not_ahead_of, takes_searches

PHI_STEP = 0.1
RESPONSE = 0.01
GIVEN_BACK = 0.5

LEARNED = "learned"
LEARNING = "learning"
NOT_YET = "not yet"
BAD_DATA = "f is not finite at θ₀"
FLAT = "f has no gradient"
ONE_FUNCTION = "trained on one function only"
DEAD = "dead output"
BLIND = "gradients too small to be seen"
SHORT_SIGHTED = "short-sighted"
NONFINITE = "meta-steps that were not finite"
META_RATE = "meta-rate too high"
DIVERGED = "diverged"
SCALE = "scale of the updates"
OVERFITTED = "overfitted to its horizon"


def diagnose(checkup: Checkup) -> Findings:
    """Return the verdicts on a run: first the cause of its trouble, last how far it has come.

    Only the first cause is named, because later ones may follow from it, and go with it.
    """
    return Findings(_findings(checkup))


def _findings(checkup: Checkup) -> list[Finding]:
    exam = checkup.examination
    if exam is not None and exam.finite < 1.0:
        return [_bad_data(exam)]
    if checkup.gradient == 0.0:
        return [_flat(exam)]
    settings, cause = list(_settings(checkup)), list(itertools.islice(_causes(checkup), 1))
    # A single function is learned as well as many, so it explains no failure.
    explained = bool(cause) or any(finding.verdict == SHORT_SIGHTED for finding in settings)
    # Meta-steps that were not finite are reported, whatever the cause.
    struck = [finding for finding in _nonfinite(checkup) if finding not in cause]
    outcome = [*struck, *(_progress(checkup) if exam is None else _outcome(checkup))]
    return [
        *settings,
        *cause,
        *(finding._replace(remedy="") if explained else finding for finding in outcome),
    ]


def _causes(checkup: Checkup) -> Iterator[Finding]:
    """Yield what is wrong with a run, each cause before those that may follow from it."""
    exam, meta_rate = checkup.examination, list(_meta_rate(checkup))
    if exam is not None:
        yield from _first_update(exam)
    # A large change of φ shows a meta-rate that is too high; its other signs may be the scale's.
    if _largest_phi_step(checkup) > PHI_STEP:
        yield from meta_rate
    yield from _scale(checkup)
    yield from meta_rate
    yield from _nonfinite(checkup)
    if exam is not None:
        yield from _trajectory(checkup, exam)


def _scale(checkup: Checkup) -> Iterator[Finding]:
    """Say if updates are too large or too small for f, and which size is better."""
    exam, line = checkup.examination, checkup.metrics[-1] if checkup.metrics else {}
    if exam is None:
        best, start = line.get("best_loss"), line.get("start")
        if best is not None and start is not None and not best - start <= BLOWN_UP * abs(start):
            numbers = f"best validation loss {best:.3g}; doing nothing has {start:.3g}"
            yield Finding(SCALE, numbers, at_scale(checkup.recipe.optimizer, 0.1))
        return
    if exam.comparison is None or not exam.rescaled:
        return
    mine, nothing = exam.comparison.losses[LEARNED_NAME], float(exam.rest.mean())
    own, others = _final(mine), {scale: _final(curves) for scale, curves in exam.rescaled.items()}
    scale = min(others, key=lambda scale: (math.isnan(others[scale]), others[scale]))
    gains = standing(exam.rescaled[scale], exam.rest).sign > 0
    if not gains:  # The smallest would be best; the largest that does no harm can learn.
        kept = [scale for scale in others if others[scale] - nothing <= _size(exam)]
        scale = max(kept, default=scale)
    curves, best = exam.rescaled[scale], others[scale]
    blown_up = not own - max(nothing, best) <= BLOWN_UP * _size(exam)
    more = not nothing - own >= GIVEN_BACK * (nothing - best)
    if standing(curves, mine).sign > 0 and (blown_up or (gains and more)):
        yield Finding(
            SCALE,
            f"final loss {own:.3g}, and {best:.3g} with updates {scale:g} × as large; doing "
            f"nothing has {nothing:.3g}",
            at_scale(checkup.recipe.optimizer, scale),
        )


def _bad_data(exam: Examination) -> Finding:
    return Finding(
        BAD_DATA,
        f"{1 - exam.finite:.2%} of the losses at θ_0 are NaN or infinite, where θ had not moved",
        "look for NaN or infinite values in the data, or for a logarithm or root of 0 in f",
    )


def _flat(exam: Examination | None) -> Finding:
    where = "at θ_0 of fresh problems" if exam else "at each θ of the last validation"
    return Finding(
        FLAT,
        f"∇f is exactly 0 {where}, so no optimizer that follows it can move θ",
        "let f depend on θ by operations that have a derivative: no rounding, comparison or "
        "stop_gradient between them, and no cast to whole numbers",
    )


def _settings(checkup: Checkup) -> Iterator[Finding]:
    """Say what is wrong with the settings: one function to learn from, or an unroll of one."""
    recipe, exam = checkup.recipe, checkup.examination
    if exam is not None and exam.functions == 1:
        yield Finding(
            ONE_FUNCTION,
            f"{DRAWS} draws of f gave 1 function: the same loss and gradient at the same θ",
            "let Problem.sample draw f from its key, or let f draw minibatches; else what was "
            "learned is this function, not how to optimize",
        )
    # Other estimators hand on more than h from segment to segment.
    if recipe.unroll == 1 < recipe.steps and recipe.estimator.startswith("truncated"):
        yield Finding(
            SHORT_SIGHTED,
            f"an unroll of 1 in a horizon of {recipe.steps}: an update is credited with the "
            "very next loss alone, and no gradient ever reaches what h should remember",
            f"try --unroll {min(20, recipe.steps)}",
        )


def _nonfinite(checkup: Checkup) -> Iterator[Finding]:
    """Say how many meta-steps of a run that went on were not finite, and what the run did then."""
    recipe, lines = checkup.recipe, checkup.metrics
    counts = [float(line.get("nonfinite") or 0) for line in lines]
    if not sum(counts) > 0:
        return
    all_steps = len(lines) * recipe.episodes * (recipe.steps // recipe.unroll)
    restarts = sum(bool(line.get("restarted")) for line in lines)
    done = (
        f"φ went back to the best so far after {restarts} of these epochs"
        if restarts
        else "their updates of φ were left out"
    )
    yield Finding(
        NONFINITE,
        f"{sum(counts):g} of {all_steps}, in {sum(map(bool, counts))} of {len(lines)} epochs; "
        f"{done}",
        f"try --meta-rate {recipe.meta_rate / 3:.1g} or --clip {recipe.clip / 4:.2g}, or look "
        "for what is NaN or infinite in f",
    )


def _meta_rate(checkup: Checkup) -> Iterator[Finding]:
    """Say which signs of too high a meta-rate there are."""
    recipe, lines = checkup.recipe, checkup.metrics
    reasons = []
    if (largest := _largest_phi_step(checkup)) > PHI_STEP:
        reasons.append(
            f"a meta-step changes φ by {largest:.2g} of the size that φ is drawn with (more "
            f"than {PHI_STEP:g} leaves nothing of what was learned ten meta-steps before)"
        )
    if checkup.stopped:
        where = f"meta-step {checkup.stopped['meta_step']} of epoch {checkup.stopped['epoch']}"
        reasons.append(
            f"the meta-loss ceased to be finite at {where}, though f is finite at θ_0"
            if checkup.examination
            else f"the meta-loss ceased to be finite at {where}"
        )
    if lines and lines[-1].get("start") is not None:
        last, best = lines[-1]["validation_loss"], lines[-1]["best_loss"]
        # `not <=` and not `>`, because the last loss may be NaN.
        if best < lines[-1]["start"] and not last <= lines[-1]["start"]:
            reasons.append(
                f"the last validation loss, {last:.3g}, is above doing nothing, "
                f"{lines[-1]['start']:.3g}, where the best was {best:.3g}"
            )
    if not reasons:
        return
    yield Finding(
        META_RATE,
        "; ".join(reasons),
        f"try --meta-rate {recipe.meta_rate / 10:.1g}, or --clip {recipe.clip / 4:.2g}",
    )


def _largest_phi_step(checkup: Checkup) -> float:
    return max((checkup.phi_step(line) or 0.0 for line in checkup.metrics), default=0.0)


def _first_update(exam: Examination) -> Iterator[Finding]:
    """Say if the first update does not depend on the gradient, and if a larger one would."""
    if exam.responses is None or exam.responses[0] >= RESPONSE:
        return
    own_size, size_one = exam.responses
    if size_one < RESPONSE:
        yield Finding(
            DEAD,
            f"{own_size:.2g} of the first update turns round with the gradient, and "
            f"{size_one:.2g} with a gradient of size 1: the output does not depend on it",
            "draw φ anew (no --init); where the output's weights and h are all 0, their "
            "gradients are 0 too and training cannot leave the place",
        )
        return
    # Appendix A's preprocessing sees gradients down to e^−p, here a twentieth of their size.
    p = math.ceil(-math.log(max(exam.gradient or 0.0, 1e-300))) + 3
    seen = (
        f"gradients below {exam.threshold:.2g} are disregarded"
        if exam.threshold
        else "there is no preprocessing"
    )
    yield Finding(
        BLIND,
        f"gradients have a size of {exam.gradient:.2g} and {seen}: {own_size:.2g} of the "
        f"first update turns round with the gradient, {size_one:.2g} were it of size 1",
        f'try the preprocessing of appendix A with p={p}, as in --optimizer "lstm(p={p}.0)", '
        "or --optimizer rnnprop, which sees no scale",
    )


def _trajectory(checkup: Checkup, exam: Examination) -> Iterator[Finding]:
    """Say if the best φ diverges within the horizon, or loses its gain beyond it."""
    if exam.mine is None:
        return
    horizon = exam.rest.shape[1]
    nothing, mine = exam.rest.mean(), exam.mine.mean(0)
    # `~(… <= …)`, so that NaN counts as blown up.
    blown_up = ~(mine - nothing <= BLOWN_UP * _size(exam))
    if blown_up[:horizon].any():
        step = int(blown_up.argmax()) + 1
        yield Finding(
            f"{DIVERGED} at step {step}",
            f"the mean loss is {mine[step - 1]:.3g} there; doing nothing has {nothing:.3g}",
            f"try --meta-rate {checkup.recipe.meta_rate / 3:.1g}, or a longer --unroll",
        )
        return
    at, beyond = (float(final_loss(mine[:end])) for end in (horizon, len(mine)))
    gained = nothing - at
    # Only a gain beyond chance can be lost.
    if standing(exam.mine[:, :horizon], exam.rest).sign <= 0 or beyond - at <= GIVEN_BACK * gained:
        return
    lost = np.flatnonzero(~(mine[horizon:] - at <= GIVEN_BACK * gained))
    step = horizon + (int(lost[0]) + 1 if len(lost) else len(mine) - horizon)
    kind = f"; it diverged at step {int(blown_up.argmax()) + 1}" if blown_up.any() else ""
    yield Finding(
        OVERFITTED,
        f"the mean loss is {at:.3g} at the horizon of {horizon} steps and {beyond:.3g} after "
        f"{len(mine)}; doing nothing has {nothing:.3g}, and more than half of the gain is "
        f"lost from step {step} on{kind}",
        f"run it for {horizon} steps only, or train for longer ones: "
        f"--curriculum {horizon},{2 * horizon},{5 * horizon}",
    )


def _progress(checkup: Checkup) -> Iterator[Finding]:
    """Say how far a run has come, from its log alone."""
    if not checkup.metrics or checkup.metrics[-1].get("start") is None:
        return
    line = checkup.metrics[-1]
    numbers = f"best validation loss {line['best_loss']:.3g}; doing nothing has {line['start']:.3g}"
    if line["best_loss"] < line["start"]:
        yield Finding(LEARNING, numbers, "tuned baselines: see metadescent doctor RUN")
    else:
        yield Finding(NOT_YET, numbers, _more(checkup))


def _outcome(checkup: Checkup) -> Iterator[Finding]:
    """Say whether the best φ is ahead of doing nothing and of every tuned baseline."""
    exam = checkup.examination
    if exam is None or exam.mine is None:
        return
    mine = exam.mine[:, : exam.rest.shape[1]]
    numbers = f"final loss {_loss(mine)}; doing nothing {_loss(exam.rest)}"
    signs = {"doing nothing": standing(mine, exam.rest).sign}
    comparison = exam.comparison
    if comparison is not None and comparison.tuned:
        numbers = f"{beside(comparison, LEARNED_NAME)}; {numbers}"
        signs |= {name: s.sign for name, s in comparison.standings(LEARNED_NAME).items()}
    not_ahead = not_ahead_of(signs)
    if all(signs[name] > 0 for name in signs if not takes_searches(name)):
        yield Finding(f"{LEARNED}, but {not_ahead}" if not_ahead else LEARNED, numbers)
    else:
        yield Finding(NOT_YET, f"{not_ahead}; {numbers}", _more(checkup))


def _more(checkup: Checkup) -> str:
    """Say what to try where a run has not learned yet."""
    recipe, lines = checkup.recipe, checkup.metrics
    best = [line["best_loss"] for line in lines]
    # It still falls if the last quarter of the epochs has a new best that beats doing nothing.
    quarter, start = max(1, len(best) // 4), lines[-1].get("start") if lines else None
    before = best[-1 - quarter] if len(best) > quarter else start
    if before is not None and best[-1] < before and (start is None or best[-1] < start):
        return f"the validation loss still falls: try --epochs {2 * recipe.epochs} in a new folder"
    return (
        f"the validation loss falls no more: try --meta-rate {recipe.meta_rate / 3:.1g} or "
        f"{3 * recipe.meta_rate:.1g}, more --problems than {recipe.problems}, or --search 8"
    )


def _loss(curves: Float[np.ndarray, "problems steps"]) -> str:
    """Write a mean final loss with its 95 % interval."""
    mean, low, high = (float(x[0]) for x in summarize(np.asarray(final_loss(curves))[:, None])[:3])
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def _final(curves: Float[np.ndarray, "problems steps"]) -> float:
    return float(np.mean(final_loss(curves)))


def _size(exam: Examination) -> float:
    """Return the scale of f: its mean, or the spread over problems if the mean is near 0."""
    return max(abs(float(exam.rest.mean())), float(exam.rest.mean(1).std()))
