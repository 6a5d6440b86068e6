"""What a task's optimizers are measured by: Adam at constant rates, and AdamW at its best.

The envelope has at each point the least that any rate of Adam has come down to by then: the mean
training loss over seeds, and no rate that diverged at it. AdamW, with warm-up and cosine, has the
rate and decay of the least final training loss. The held-out losses are those of the rates and
decays that are best for them, at the end and at the best point.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.measured import POINTS, Measured, measure
from metadescent.bench.rivals import ADAM, ADAMW, DEFAULT, Rival
from metadescent.bench.task import Split
from metadescent.descent.at_rate import AtRate
from metadescent.descent.curves import final_loss, or_infinite
from metadescent.descent.episode import draw
from metadescent.descent.unrolling import exact
from metadescent.problems.base import Problem


class Reference(NamedTuple):
    """The curves that scores are relative to: means over seeds, at θ₀ and at each point.

    envelope           training loss of Adam at the best constant rate for each point
    adamw              training loss of AdamW, rate and decay tuned for its end
    adam_at_default    training loss of Adam at 1e-3
    held_out           final and best held-out loss of AdamW, each tuned for that
    chosen             the rates, in words
    """

    envelope: Float[np.ndarray, " points"]
    adamw: Float[np.ndarray, " points"]
    adam_at_default: Float[np.ndarray, " points"]
    held_out: tuple[float, float]
    chosen: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the curves as lists; what is not finite, as None."""
        curves = {name: listed(getattr(self, name)) for name in CURVES}
        return {**curves, "held_out": list(self.held_out), "chosen": self.chosen}


CURVES = ("envelope", "adamw", "adam_at_default")


def reference_from(kept: dict[str, Any]) -> Reference:
    """Return what `to_json` wrote."""
    curves = {n: np.asarray([np.inf if x is None else x for x in kept[n]], float) for n in CURVES}
    end, best = map(float, kept["held_out"])
    return Reference(**curves, held_out=(end, best), chosen=dict(kept["chosen"]))


def key_of(seed: int) -> PRNGKeyArray:
    """Return the key of the runs that a seed of the bench stands for."""
    return jax.random.key(seed)


def make_reference(
    split: Split,
    *,
    num_steps: int,
    num_seeds: int,
    seed: int = 0,
    points: int = POINTS,
    progress: Callable[[str], object] = lambda _: None,
) -> Reference:
    """Run Adam and AdamW at all their rates on a task, and return what others are measured by."""

    def runs(rival: Rival) -> list[tuple[AtRate, Measured]]:
        measured = []
        for rule in rival.at_each(num_steps):
            curves = measure(
                rule,
                split,
                key_of(seed),
                num_steps=num_steps,
                num_seeds=num_seeds,
                points=points,
            )
            measured.append((rule, curves))
            progress(f"{rival.label}, {float(rule.rate):.3g}")
        return measured

    adam, adamw = runs(ADAM), runs(ADAMW)
    means = np.stack([_mean(of_rate.train) for _, of_rate in adam])
    by_end = min(adamw, key=lambda item: _final(item[1].train))
    held_out = [_mean(of_rate.held_out) for _, of_rate in adamw]
    default = min(adam, key=lambda item: abs(np.log(float(item[0].rate) / DEFAULT)))
    best_adam = min(adam, key=lambda item: _final(item[1].train))
    return Reference(
        np.minimum.accumulate(means.min(0)),
        _mean(by_end[1].train),
        _mean(default[1].train),
        (float(min(final_loss(curve) for curve in held_out)), float(np.min(held_out))),
        {"adam": _words(best_adam[0]), "adamw": _words(by_end[0])},
    )


def probe(split: Split) -> list[float]:
    """Return what tells a task from another: f and the size of ∇f at one θ₀, on all three sides.

    Another version of JAX or a renamed variable makes the same numbers, and another f does not.
    """

    def numbers(problem: Problem, key: PRNGKeyArray) -> Float[Array, "2"]:
        fs, keys = draw(problem, key, 1)
        loss, gradient = exact(fs, fs.init(keys.theta), keys.minibatch)
        return jnp.stack([loss.sum(), optax.tree.norm(gradient)])

    return [float(x) for side in split for x in eqx.filter_jit(numbers)(side, key_of(0))]


def is_of(kept: Sequence[float], split: Split) -> bool:
    """Tell whether what is kept is of this task, as far as 32 bits tell."""
    return np.allclose(kept, probe(split), rtol=1e-3, atol=1e-6)


def _words(rule: AtRate) -> str:
    decay = getattr(rule.make, "args", ())
    return f"{float(rule.rate):.3g}" + (f", decay {decay[0]:g}" if decay else "")


def _mean(curves: Float[np.ndarray, "seeds points"]) -> Float[np.ndarray, " points"]:
    """Return the mean over seeds, infinite where one of them is not finite."""
    return or_infinite(curves).mean(0)


def _final(curves: Float[np.ndarray, "seeds points"]) -> float:
    return float(final_loss(_mean(curves)))


def listed(curve: Float[np.ndarray, " points"]) -> list[float | None]:
    """Return losses as JSON has them: seven digits, as 32 bits have, and None for infinity."""
    return [float(f"{x:.7g}") if np.isfinite(x) else None for x in curve]
