"""An LSTM for horizons that are not known: moments on several time scales, a clock, shorter steps.

m_β, v_β = running means of ∇ and ∇² with decay β, both without their bias, for each of some β
x_t      = (m_β/√v_β for each β,  ∇_t/√v_first,  m_first/√v_last,  log₁₀(1 + t)/4)
g_t      = scale · (1 + t/τ)^(−1/2) · (w · LSTM(x_t) + b)

m_β/√v_β is the ratio of signal to noise of the last 1/(1 − β) gradients, at most 1 in size. If it
goes to 0 only noise is left, and steps of one length stay as far from the minimum as they are long.
m_first/√v_last is Adam's step. The factor (1 + t/τ)^(−1/2) is the rate that suits noise, wherever
the run is stopped. The LSTM learns by how much to depart from it.

Source: features by moments from Lv, Jiang and Li (2017) and, on several time scales and with a
clock, from Metz et al. (2020); (1 + t/τ)^(−1/2) from stochastic approximation.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.optimizers.base import Elementwise
from metadescent.optimizers.lstm import LSTM, LSTMState
from metadescent.optimizers.rnnprop import check_betas, grow

Row = Float[Array, "*n"]
Moments = tuple[tuple[tuple[Row, Row, Row], ...], Row]
AnytimeState = tuple[Moments, LSTMState]


class Anytime(Elementwise):
    """The LSTM of the paper behind signs of progress, with steps that shorten.

    Arguments:
        layers: hidden units of each layer, at least one.
        betas: decays of the moments, the fastest first, each from 0 to 0.99999.
        tau: steps after which the steps' length begins to fall.
        clock: steps after which the LSTM's clock stands still; best the horizon of meta-training.
        scale: factor on the output: about the size of the first steps.
        key: draws φ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = Anytime(layers=(4,), key=jax.random.key(0))
        >>> small, large = jnp.full(3, 1e-6), jnp.full(3, 1e3)
        >>> bool(jnp.allclose(m.update(small, m.init(small))[0], m.update(large, m.init(large))[0]))
        True
    """

    lstm: LSTM
    betas: tuple[float, ...] = eqx.field(static=True)
    tau: float = eqx.field(static=True)
    clock: float = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        betas: Sequence[float] = (0.9, 0.99, 0.999),
        tau: float = 100.0,
        clock: float = 200.0,
        scale: float = 0.1,
        *,
        key: PRNGKeyArray,
    ):
        check_betas(betas)
        require("tau", tau, 1e-6)
        require("clock", clock, 0.0)
        self.betas, self.tau, self.clock = tuple(betas), tau, clock
        self.lstm = LSTM.on_features(len(self.betas) + 3, layers, scale=scale, key=key)

    def init_coordinate(self) -> AnytimeState:
        h = self.lstm.init_coordinate()
        zero = jnp.zeros((), self.lstm.output.weight.dtype)
        return (((zero, zero, zero),) * len(self.betas), zero), h

    def update_array(
        self, gradient: Float[Array, "*n"], state: AnytimeState
    ) -> tuple[Float[Array, "*n"], AnytimeState]:
        moments, h = state
        # The factor is taken before `features`, which counts this step.
        factor = self.factor(moments[-1])
        x, moments = self.features(gradient, moments)
        g, h = self.lstm.run(x, h)
        return factor * g, (moments, h)

    def pull_back(
        self, state: AnytimeState, inputs: Float[Array, "T n"], cotangents: Float[Array, "T n"]
    ) -> "Anytime":
        def step(moments: Moments, gradient: Array) -> tuple[Moments, tuple[Array, Array]]:
            factor = self.factor(moments[-1])
            x, moments = self.features(gradient, moments)
            return moments, (x, factor)

        moments, h = state
        _, (x, factor) = jax.lax.scan(step, moments, inputs)
        # Moments and factor hold no φ, so all of dL/dφ is the LSTM's.
        lstm = self.lstm.pull_back_run(h, jnp.moveaxis(x, 1, 0), factor * cotangents)
        return eqx.tree_at(lambda m: m.lstm, self, lstm)

    def factor(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return (1 + t/τ)^(−1/2)."""
        return jax.lax.rsqrt(1 + t / self.tau)

    def features(
        self, gradient: Float[Array, "*n"], moments: Moments
    ) -> tuple[Float[Array, "features *n"], Moments]:
        """Return x and the next moments."""
        averages, t = moments
        after, means, roots = [], [], []
        for beta, (m, s, w) in zip(self.betas, averages, strict=True):
            m = beta * m + (1 - beta) * gradient  # s is √v
            s = grow(s, gradient, beta)
            w = beta * w + (1 - beta)  # 1 − βᵗ, without a power for each coordinate
            after.append((m, s, w))
            means.append(m / w)
            roots.append(s / jnp.sqrt(w))
        # No feature depends on the scale of f or of a coordinate.
        x = [mean / root for mean, root in zip(means, roots, strict=True)]
        # The clock stops where meta-training ended, so later steps show the LSTM nothing new.
        clock = jnp.log10(1 + jnp.minimum(t, self.clock)) / 4
        x += [gradient / roots[0], means[0] / roots[-1], clock]
        return jnp.stack(x), (tuple(after), t + 1)


NAMED = {"anytime": Anytime}
