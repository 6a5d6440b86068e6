"""An LSTM that sees gradients relative to their own running moments, not as they are.

m_t = β m_{t−1} + (1 − β) ∇_t,     v_t = β v_{t−1} + (1 − β) ∇_t²,     both without their bias
x_t = (m̂_t, ∇_t) / (√v̂_t + ε)
g_t = scale · (w · LSTM(x_t) + b)

Scaling f or a coordinate of θ leaves x as it is. |x| ≤ 1/√(1 − β), and as |h| < 1 every step is
bounded.

Source: Lv, Jiang and Li (2017), "Learning gradient descent: better generalization and longer
horizons" (RNNprop), without its dense layer below the LSTM and its tanh above.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError, require, require_kind
from metadescent.optimizers.base import Elementwise
from metadescent.optimizers.lstm import LSTM, LSTMState

Moments = tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]
RNNPropState = tuple[Moments, LSTMState]


class RNNProp(Elementwise):
    """The LSTM of the paper behind gradients that are normalized by their moments.

    Arguments:
        layers: hidden units of each layer.
        beta: decay of both moments, from 0 to 0.9999.
        scale: factor on the output: about the size of the first steps.
        key: draws φ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = RNNProp(layers=(4,), key=jax.random.key(0))
        >>> small, large = jnp.full(3, 1e-6), jnp.full(3, 1e3)
        >>> bool(jnp.allclose(m.update(small, m.init(small))[0], m.update(large, m.init(large))[0]))
        True
    """

    lstm: LSTM
    beta: float = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        beta: float = 0.95,
        scale: float = 0.1,
        *,
        key: PRNGKeyArray,
    ):
        require("beta", beta, 0.0, 0.9999)
        self.lstm, self.beta = LSTM(layers, scale=scale, key=key), beta

    def init_coordinate(self) -> RNNPropState:
        h = self.lstm.init_coordinate()
        zero = jnp.zeros((), self.lstm.output.weight.dtype)
        return (zero, zero, zero), h

    def update_array(
        self, gradient: Float[Array, "*n"], state: RNNPropState
    ) -> tuple[Float[Array, "*n"], RNNPropState]:
        moments, h = state
        x, moments = self.normalize(gradient, moments)
        g, h = self.lstm.run(x, h)
        return g, (moments, h)

    def pull_back(
        self, state: RNNPropState, inputs: Float[Array, "T n"], cotangents: Float[Array, "T n"]
    ) -> "RNNProp":
        def step(moments: Moments, gradient: Array) -> tuple[Moments, Array]:
            x, moments = self.normalize(gradient, moments)
            return moments, x

        moments, h = state
        _, x = jax.lax.scan(step, moments, inputs)
        # The moments hold no φ, so all of dL/dφ is the LSTM's.
        lstm = self.lstm.pull_back_run(h, jnp.moveaxis(x, 1, 0), cotangents)
        return eqx.tree_at(lambda m: m.lstm, self, lstm)

    def normalize(
        self, gradient: Float[Array, "*n"], moments: Moments
    ) -> tuple[Float[Array, "2 *n"], Moments]:
        """Return x and the next moments."""
        m, s, w = moments  # s is √v
        m = self.beta * m + (1 - self.beta) * gradient
        s = grow(s, gradient, self.beta)
        w = self.beta * w + (1 - self.beta)  # 1 − βᵗ, without a power for each coordinate
        root = s / jnp.sqrt(w)
        return jnp.stack([m / w / root, gradient / root]), (m, s, w)


def check_betas(betas: Sequence[float]) -> None:
    """Raise a UserError unless these are decays of moments, one or more."""
    require_kind("betas", betas, Sequence, "a list or tuple of decays; try (0.9, 0.99)")
    if not betas:
        raise UserError("betas is empty; give one decay or more, such as (0.9, 0.99)")
    for beta in betas:
        require("a beta", beta, 0.0, 0.99999)


def grow(
    s: Float[Array, "*n"], gradient: Float[Array, "*n"], beta: float | Array
) -> Float[Array, "*n"]:
    """Return √(β s² + (1 − β)(∇² + ε²)), the next root of v."""
    # The state is the root of v, not v: its derivatives are at most 1. Those of v, divided by v,
    # are as large as 1/∇², beyond float32 where ∇ is small. ε = 10⁻¹² is far below any gradient
    # that matters, and keeps the derivative finite where no gradient has been seen yet.
    return jnp.sqrt(beta * s**2 + (1 - beta) * (gradient**2 + 1e-24))


NAMED = {"rnnprop": RNNProp}
