"""LSTM+GAC (appendix D): the LSTM optimizer with global averaging cells.

x       = preprocess(∇)                  appendix A, or ∇ itself; h⁰ = x
hˡ, cˡ  = LSTMˡ(hˡ⁻¹, hˡ, cˡ)            of every coordinate
hˡ_j    ← (1/n) Σ_i hˡ_j(i)              over all n coordinates i, if cell j is a GAC
g       = scale · (w·hᴸ + b)

The paper does not say how many cells of a layer are GACs; 5 of 20 is this project's choice.
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError, require
from metadescent.optimizers.appendix_d.communicating import Communicating
from metadescent.optimizers.base import phi_dtype
from metadescent.optimizers.lstm import LSTM, LSTMState, layer


class LSTMGAC(Communicating):
    """The LSTM of the paper, some of whose cells average over all coordinates.

    Arguments:
        layers: hidden units of each layer, at least one.
        averaging: how many cells of each layer, the first ones, are GACs. With 0 it is the LSTM.
        p: the constant of the preprocessing of appendix A, or None for none.
        scale: factor on the output.
        key: draws φ, as for the LSTM.

    Source: appendix D, "Global averaging cells".

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m = LSTMGAC(layers=(4,), averaging=1, key=jax.random.key(0))
        >>> theta = jnp.zeros((2, 3))
        >>> g, ((h, c),) = m.update(jnp.arange(6.0).reshape(2, 3), m.init(theta))
        >>> g.shape, h.shape, bool((h[0] == h[0, 0]).all()), bool((h[1] == h[1, 0]).all())
        ((2, 3), (4, 6), True, False)
    """

    lstm: LSTM
    averaging: int = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        averaging: int = 5,
        p: float | None = 10.0,
        scale: float = 0.1,
        *,
        key: PRNGKeyArray,
    ):
        if not layers:
            raise UserError("layers is empty; give one layer or more, such as (20, 20)")
        require("averaging", averaging, 0)
        self.lstm, self.averaging = LSTM(layers, p, scale, key=key), averaging
        if averaging > min(self.lstm.layers):
            raise UserError(
                f"averaging is {averaging} and the smallest layer has {min(self.lstm.layers)} "
                "cells; try fewer averaging cells or more units"
            )

    def init_row(self, n: int) -> LSTMState:
        dtype = self.lstm.state_dtype or phi_dtype(self)
        zeros = [jnp.zeros((units, n), dtype) for units in self.lstm.layers]
        return tuple((h, h) for h in zeros)

    def update_row(
        self, gradient: Float[Array, " n"], state: LSTMState
    ) -> tuple[Float[Array, " n"], LSTMState]:
        h, state = self.run(self.lstm.features(gradient), self.lstm.exact(state))
        return self.lstm.emit(h), self.lstm.rounded(state)

    def threshold(self) -> float:
        return self.lstm.threshold()

    def run(
        self, x: Float[Array, "features n"], state: LSTMState
    ) -> tuple[Float[Array, "hidden n"], LSTMState]:
        """Run the features of all coordinates through the stack; return the last layer's h too."""
        after = []
        for cell, (h, c) in zip(self.lstm.cells, state, strict=True):
            h, c = layer(cell, x, h, c)
            # The mean goes up to the next layer, and to this layer's next step. c stays as it is.
            x = average(h, self.averaging)
            after.append((x, c))
        return x, tuple(after)


def average(h: Float[Array, "cells n"], count: int) -> Float[Array, "cells n"]:
    """Return h with each of its first `count` rows replaced by the row's mean."""
    averaging, alone = h[:count], h[count:]
    means = jnp.broadcast_to(averaging.mean(axis=1, keepdims=True), averaging.shape)
    return jnp.concatenate([means, alone])


NAMED = {"lstm-gac": LSTMGAC}
