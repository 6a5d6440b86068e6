"""A direction from an LSTM for each coordinate, as in the paper, on normalized gradients.

u = w · LSTM(m_β/√v for each β, ∇/√v, arcsinh d, t/T, log₁₀(1 + t), e)

e are four learned numbers of each coordinate, so that coordinates of one family of problems that
mean different things may be treated differently. Without a number of coordinates there is no e.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.optimizers.lstm import layer, lstm_cell, truncated_normal

NAMES = 4
State = tuple[Float[Array, "cells n"], Float[Array, "cells n"]]


class Cells(eqx.Module):
    """The LSTM of each coordinate: one φ for all, and their e.

    Arguments:
        cells: hidden units.
        moments: how many features by moments there are.
        coordinates: how many coordinates have an e of their own; 0 for none.
        key: draws φ.
    """

    cell: eqx.nn.LSTMCell
    output: Float[Array, " cells"]
    names: Float[Array, "4 coordinates"] | None

    def __init__(self, cells: int, moments: int, coordinates: int, *, key: PRNGKeyArray):
        cell_key, output_key, names_key = jax.random.split(key, 3)
        self.cell = lstm_cell(moments + 3 + (NAMES if coordinates else 0), cells, cell_key)
        self.output = 0.3 * truncated_normal(output_key, (cells,), cells)
        shape = NAMES, coordinates
        self.names = jax.random.normal(names_key, shape) if coordinates else None

    def begin(self, row: Float[Array, " n"]) -> State:
        """Return h and c before the first step, in the dtype of a row."""
        zeros = jnp.zeros((len(self.output), row.size), row.dtype)
        return zeros, zeros

    def __call__(
        self,
        moments: Float[Array, "moments n"],
        d: Float[Array, " n"],
        clocks: Float[Array, "2"],
        state: State,
    ) -> tuple[Float[Array, " n"], State]:
        """Return u, and the next h and c."""
        names = moments[:0] if self.names is None else self.names
        time = jnp.broadcast_to(clocks[:, None], (2, d.size))
        h, c = layer(
            self.cell, jnp.concatenate([moments, jnp.arcsinh(d)[None], time, names]), *state
        )
        return self.output @ h, (h, c)
