"""Momentum, every coordinate of it weighed by an LSTM.

m_t = β m_{t−1} + (1 − β) ∇_t,     n_t = β m_t + (1 − β) ∇_t         Nesterov's look ahead
g_t = −e^{LSTM(x_t)} · n_t

x_t are the features of `anytime`: ratios of signal to noise on several time scales and a clock. So
the LSTM may trust one coordinate more than another but starts from plain momentum, which keeps how
large gradients are beside each other; `anytime`, `rnnprop` and Adam divide that out, coordinate by
coordinate, and do worse for it where a tensor is a filter of many. How long g_t is, is the
gradient's business, or that of the rule behind it: `modulated >> relative`.

Source: a direction times the exponential of what a network says is from Metz et al. (2022), "VeLO".
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.optimizer import Coordinatewise
from metadescent.optimizers.anytime import Anytime, AnytimeState


class Modulated(Coordinatewise):
    """An LSTM that weighs the coordinates of the gradient's momentum.

    Arguments:
        layers: hidden units of each layer, at least one.
        betas: decays of the moments that the LSTM is shown; the first is that of the momentum.
        clock: steps after which the LSTM's clock stands still; best the horizon of meta-training.
        scale: factor on the LSTM's output.
        key: draws φ.

    Raises:
        UserError: if there is no layer or no β, or a β is not from 0 to 0.99999.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = Modulated(layers=(4,), scale=0.0, key=jax.random.key(0))
        >>> g, h = m.update(jnp.asarray([1.0, -2.0]), m.init(jnp.zeros(2)))
        >>> g.round(2).tolist()
        [-0.19, 0.38]
    """

    anytime: Anytime

    def __init__(
        self,
        layers: Sequence[int] = (20,),
        betas: Sequence[float] = (0.9, 0.99, 0.999),
        clock: float = 1000.0,
        scale: float = 0.1,
        *,
        key: PRNGKeyArray,
    ):
        """Draw φ."""
        self.anytime = Anytime(layers, betas, clock=clock, scale=scale, key=key)

    def init_coordinate(self) -> AnytimeState:
        """Return zeros: the moments, and the LSTM's h and c."""
        return self.anytime.init_coordinate()

    def update_coordinates(
        self, gradient: Float[Array, " n"], state: AnytimeState
    ) -> tuple[Float[Array, " n"], AnytimeState]:
        """Weigh n coordinates."""
        return self.update_array(gradient, state)

    def update_array(
        self, gradient: Float[Array, "*n"], state: AnytimeState
    ) -> tuple[Float[Array, "*n"], AnytimeState]:
        moments, h = state
        x, moments = self.anytime.features(gradient, moments)
        weight, h = self.anytime.lstm.run(x, h)
        beta, mean = self.anytime.betas[0], moments[0][0][0]
        ahead = beta * mean + (1 - beta) * gradient
        return -jnp.exp(weight) * ahead, (moments, h)


NAMED = {"modulated": Modulated}
