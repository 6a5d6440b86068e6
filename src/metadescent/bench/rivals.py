"""Hand-designed optimizers of the bench: how to make each for a horizon, and what to tune.

The envelope is that of Adam at constant rates. The rates of most others go up over the first
twentieth of the horizon and down by half a cosine, as is usual today; some need no schedule.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from metadescent.bench.measured import Judged
from metadescent.descent.at_rate import AtRate

WARM_UP = 0.05
"""The share of the horizon for the warm-up."""
DEFAULT = 1e-3
"""Adam's usual rate."""


class Rival(NamedTuple):
    """A hand-designed optimizer, the rates that it is tuned over, and the first rate to try."""

    label: str
    make: Callable[[Any, Any], optax.GradientTransformation]
    rates: tuple[float, ...]
    first: int = 0
    judged: Judged | None = None

    def at(self, place: int, num_steps: int) -> AtRate:
        """Return the optimizer at one of its rates, by the rate's place."""
        return AtRate(self.make, self.rates[place], float(num_steps))


class Decayed(AtRate):
    """AdamW with warm-up and cosine at a rate and a weight decay, both arrays."""

    decay: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)

    def _rule(self) -> optax.GradientTransformation:
        return optax.adamw(warm_up_and_cosine(self.rate, self.horizon), weight_decay=self.decay)

    def init(self, params: PyTree) -> PyTree:
        """Return the state for parameters θ of this structure."""
        return self._rule().init(params)

    def update(
        self, updates: PyTree, state: PyTree, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        """Map gradients and state to updates and the next state, as Optax's AdamW does."""
        return self._rule().update(updates, state, params)


def adamw_at(place: int, decay: float, num_steps: int) -> Decayed:
    """Return AdamW at one of `ADAMW_RATES`, by the rate's place, with a decay."""
    return Decayed(optax.adamw, ADAMW_RATES[place], float(num_steps), decay)


def _rates(low: int, high: int) -> tuple[float, ...]:
    """Return two rates a decade, from 10^low to 10^high."""
    return tuple(10.0 ** (k / 2) for k in range(2 * low, 2 * high + 1))


def warm_up_and_cosine(rate: Any, horizon: Any) -> optax.Schedule:
    """Return a rate that goes up for a twentieth of the horizon and down to 0 by half a cosine."""

    def at(count: Any) -> Any:
        # Both the first and the last step have to move θ.
        share = (count + 1) / (horizon + 1)
        down = (share - WARM_UP) / (1 - WARM_UP)
        return rate * jnp.where(
            share < WARM_UP, share / WARM_UP, 0.5 * (1 + jnp.cos(math.pi * jnp.clip(down, 0, 1)))
        )

    return at


def _adam(rate: Any, horizon: Any) -> optax.GradientTransformation:
    del horizon
    return optax.adam(rate)


def _nag(rate: Any, horizon: Any) -> optax.GradientTransformation:
    return optax.sgd(warm_up_and_cosine(rate, horizon), momentum=0.9, nesterov=True)


def _lion(rate: Any, horizon: Any) -> optax.GradientTransformation:
    return optax.lion(warm_up_and_cosine(rate, horizon))


def _muon(rate: Any, horizon: Any) -> optax.GradientTransformation:
    return optax.contrib.muon(warm_up_and_cosine(rate, horizon), consistent_rms=0.2)


def _schedule_free(rate: Any, horizon: Any) -> optax.GradientTransformation:
    # The rate has no schedule: Optax's warm-up needs a number of steps when the rule is made.
    base = optax.adamw(optax.schedules.constant_schedule(rate), b1=0.0)
    del horizon
    return optax.contrib.schedule_free(base, rate)


def _prodigy(rate: Any, horizon: Any) -> optax.GradientTransformation:
    schedule = warm_up_and_cosine(rate, horizon)
    return optax.contrib.prodigy(schedule, safeguard_warmup=True)


ADAM = Rival("Adam, constant rate", _adam, _rates(-7, 0), first=8)
ADAMW_RATES = _rates(-5, 2)
ADAMW_FIRST, DECAYS = 5, (0.0, 0.01, 0.1)
RIVALS = {
    "nag": Rival("NAG, cosine", _nag, _rates(-4, 1), first=6),
    "lion": Rival("Lion, cosine", _lion, _rates(-5, -1), first=3),
    "muon": Rival("Muon, cosine", _muon, _rates(-4, 1), first=4),
    "schedule-free": Rival(
        "Schedule-free AdamW, untuned",
        _schedule_free,
        (0.0025,),
        judged=optax.contrib.schedule_free_eval_params,  # pyright: ignore[reportArgumentType]
    ),
    "prodigy": Rival("Prodigy, cosine, untuned", _prodigy, (1.0,)),
}
"""The optimizers by the names that `metadescent bench` takes."""
