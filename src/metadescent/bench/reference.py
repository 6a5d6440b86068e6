"""References of a task: Adam at constant rates, and AdamW at its best.

The envelope has, at each point, the lowest loss that any rate of Adam has reached by then. A loss
is the mean training loss over seeds, and a rate does not count at a point where it has diverged.
AdamW, with warm-up and cosine, has the rate and decay with the lowest final training loss. The
held-out losses are those of the rates and decays that are best for them, at the end and at the best
point.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.measured import POINTS, Measured, measure
from metadescent.bench.rivals import ADAM, ADAMW_FIRST, ADAMW_RATES, DECAYS, DEFAULT, adamw_at
from metadescent.bench.searches import least, outward
from metadescent.bench.task import Split
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
        """Return the curves as lists; None stands for a number that is not finite."""
        curves = {name: listed(getattr(self, name)) for name in CURVES}
        return {**curves, "held_out": list(self.held_out), "chosen": self.chosen}


CURVES = ("envelope", "adamw", "adam_at_default")


def reference_from(kept: dict[str, Any]) -> Reference:
    """Return the reference that `to_json` wrote."""
    curves = {n: np.asarray([np.inf if x is None else x for x in kept[n]], float) for n in CURVES}
    end, best = map(float, kept["held_out"])
    return Reference(**curves, held_out=(end, best), chosen=dict(kept["chosen"]))


def key_of(seed: int) -> PRNGKeyArray:
    """Return the key of the runs for a seed of the bench."""
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
    """Run Adam and AdamW on a task, at all rates that matter, and return the reference."""

    @functools.cache
    def run(rule: str, place: int, decay: float = 0.0) -> Measured:
        m = adamw_at(place, decay, num_steps) if rule == "adamw" else ADAM.at(place, num_steps)
        progress(f"{rule}, {float(m.rate):.3g}")
        key, sizes = key_of(seed), {"num_steps": num_steps, "num_seeds": num_seeds}
        return measure(m, split, key, **sizes, points=points)  # pyright: ignore[reportArgumentType]

    default = ADAM.rates.index(DEFAULT)
    adam = outward(lambda k: _mean(run("adam", k).train), len(ADAM.rates), default)
    best_adam = min(adam, key=lambda k: float(final_loss(adam[k])))

    def tuned(figure: Callable[[Measured], float]) -> tuple[float, int, float]:
        """Return the lowest figure of AdamW, and the rate and decay that give it."""
        place = least(lambda k: figure(run("adamw", k)), len(ADAMW_RATES), ADAMW_FIRST)
        decay = min(DECAYS, key=lambda decay: figure(run("adamw", place, decay)))
        return figure(run("adamw", place, decay)), place, decay

    _, place, decay = tuned(lambda measured: _final(measured.train))
    end, *_ = tuned(lambda measured: _final(measured.held_out))
    best, *_ = tuned(lambda measured: float(_mean(measured.held_out).min()))
    return Reference(
        np.minimum.accumulate(np.min(list(adam.values()), axis=0)),
        _mean(run("adamw", place, decay).train),
        adam[default],
        (end, best),
        {
            "adam": f"{ADAM.rates[best_adam]:.3g}",
            "adamw": f"{ADAMW_RATES[place]:.3g}, decay {decay:g}",
        },
    )


def probe(split: Split) -> list[float]:
    """Return numbers that identify a task: f and the size of ∇f at one θ₀, on all three sides.

    They stay the same with another version of JAX or a renamed variable, and differ for another f.
    """

    def numbers(problem: Problem, key: PRNGKeyArray) -> Float[Array, "2"]:
        fs, keys = draw(problem, key, 1)
        loss, gradient = exact(fs, fs.init(keys.theta), keys.minibatch)
        return jnp.stack([loss.sum(), optax.tree.norm(gradient)])

    return [float(x) for side in split for x in eqx.filter_jit(numbers)(side, key_of(0))]


def is_of(kept: Sequence[float], split: Split) -> bool:
    """Tell whether kept numbers are of this task, within the precision of 32 bits."""
    return np.allclose(kept, probe(split), rtol=1e-3, atol=1e-6)


def _mean(curves: Float[np.ndarray, "seeds points"]) -> Float[np.ndarray, " points"]:
    """Return the mean over seeds, infinite if one of them is not finite."""
    return or_infinite(curves).mean(0)


def _final(curves: Float[np.ndarray, "seeds points"]) -> float:
    return float(final_loss(_mean(curves)))


def listed(curve: Float[np.ndarray, " points"]) -> list[float | None]:
    """Return losses for JSON: with seven digits, as in 32 bits, and None for infinity."""
    return [float(f"{x:.7g}") if np.isfinite(x) else None for x in curve]
