"""Momentum, every coordinate of it weighed by an LSTM.

m_t = β m_{t−1} + (1 − β) ∇_t,     n_t = β m_t + (1 − β) ∇_t         Nesterov's look ahead
v_t = β′ v_{t−1} + (1 − β′) ∇_t²
g_t = −e^{LSTM(x_t)} · n_t / v_t^{p/2}

x_t are the features of `anytime`: ratios of signal to noise on several time scales, and a clock. By
these the LSTM may weigh one coordinate more than another. p, a number of φ, says how far the rule
is on the way from momentum, 0, to Adam's direction, 1. The rule behind this one sets the length of
g_t, as in `modulated >> relative`.

Source: a direction times the exponential of a network's output from Metz et al. (2022), "VeLO"; a
power of v between momentum's and Adam's from Chen et al. (2018), "Closing the generalization gap of
adaptive gradient methods" (Padam).
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.optimizers.anytime import Anytime, AnytimeState
from metadescent.optimizers.base import Elementwise


class Modulated(Elementwise):
    """An LSTM that weighs the coordinates of the gradient's momentum.

    Arguments:
        layers: hidden units of each layer, at least one.
        betas: decays of the moments that the LSTM sees, each from 0 to 0.99999; the first is β, of
            the momentum, and the last is β′, of v.
        clock: steps after which the LSTM's clock stands still; best the horizon of meta-training.
        scale: factor on the LSTM's output.
        power: p before training, from 0 to 1.
        key: draws φ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = Modulated(layers=(4,), scale=0.0, power=0.5, key=jax.random.key(0))
        >>> g, h = m.update(jnp.asarray([1.0, -4.0]), m.init(jnp.zeros(2)))
        >>> g.round(2).tolist()
        [-0.19, 0.38]
    """

    anytime: Anytime
    p: Float[Array, ""]

    def __init__(
        self,
        layers: Sequence[int] = (20,),
        betas: Sequence[float] = (0.9, 0.99),
        clock: float = 1000.0,
        scale: float = 0.1,
        power: float = 0.8,
        *,
        key: PRNGKeyArray,
    ):
        require("power", power, 0.0, 1.0)
        self.anytime = Anytime(layers, betas, clock=clock, scale=scale, key=key)
        self.p = jnp.asarray(power, self.anytime.lstm.output.weight.dtype)

    def init_coordinate(self) -> AnytimeState:
        return self.anytime.init_coordinate()

    def update_array(
        self, gradient: Float[Array, "*n"], state: AnytimeState
    ) -> tuple[Float[Array, "*n"], AnytimeState]:
        moments, h = state
        x, moments = self.anytime.features(gradient, moments)
        weight, h = self.anytime.lstm.run(x, h)
        (mean, *_), (_, root, filled) = moments[0][0], moments[0][-1]
        beta = self.anytime.betas[0]
        ahead = beta * mean + (1 - beta) * gradient
        # √v is never 0. Dividing v by its weight, 1 − β′ᵗ, removes the bias.
        size = jnp.log(root) - jnp.log(filled) / 2
        return -jnp.exp(weight - self.p * size) * ahead, (moments, h)


NAMED = {"modulated": Modulated}
