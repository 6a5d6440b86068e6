"""Secants: another controller for the memory of appendix D, whose heads emit factors, not vectors.

s, y  = g_{t−1}, ∇_t − ∇_{t−1}                the last step, and the change of ∇ along it
My    = M_t ∇_t − M_t ∇_{t−1}
κ, h  = LSTM+GAC of (preprocess(∇̂), ŝ, ŷ, (M∇)̂, M̂y)
a, b  = κ (s − My) / ρ,  (κ y/ρ + κ ŝ + κ M̂y) / n       for each write head, ρ = rms y
M_{t+1} = M_t + Σ a bᵀ
g     = −(1 + κ) i + κ s + scale · (w·h + b) rms i,     i = M_{t+1} ∇_t

Each κ is a separate output, coordinate by coordinate. A hat means: divided by the root mean square,
which is taken to be at least e^−p. Before training this is Broyden's second method, or a share of
it: the least change of M that makes M y = s. It has no line search and no division by ⟨s, y⟩.

This controller differs from the appendix's in three ways. It remembers the last step and the last
∇. It reads M before it writes, and again for the update. It emits factors of order one for these
vectors, so that steps may shrink with ∇ by orders of magnitude although cells lie between −1 and 1.
With c f for f and γ/c for γ the path is the same, as long as nothing is as small as e^−p.

Source: Broyden (1965), "A class of methods for solving nonlinear simultaneous equations".
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.appendix_d.ntm import NTM, Driver, NTMState
from metadescent.optimizers.base import phi_dtype
from metadescent.optimizers.lstm import LSTM, LSTMState

FEATURES = 5  # besides those of the gradient
FACTORS = 4  # of a write head: one for a and three for b
# Safeguards, because there is no line search. The first limits how many times its least so far ∇
# may grow, and how many times the first step a step may grow. The second limits how many times as
# long as M_0 ∇ M ∇ may be.
REACH = 100.0
WILD = 1e6
LEAST = 1e-15  # the least root mean square where p is None


class Past(NamedTuple):
    """h of the LSTM+GAC, the last step and gradient, and measurements, which are 0 at first."""

    h: LSTMState
    s: Float[Array, " n"]
    gradient: Float[Array, " n"]
    first_step: Float[Array, ""]  # its size
    least: Float[Array, ""]  # the smallest size of ∇ so far
    away: Float[Array, " n"]  # θ minus the θ that had the smallest ∇


class Secants(Driver):
    """A controller that sees secants and emits factors."""

    gac: LSTMGAC
    heads: eqx.nn.Linear
    reads: int = eqx.field(static=True)
    writes: int = eqx.field(static=True)
    secants: float = eqx.field(static=True)

    def __init__(
        self,
        layers: Sequence[int],
        averaging: int,
        p: float | None,
        scale: float,
        reads: int,
        writes: int,
        *,
        first: float,
        key: PRNGKeyArray,
    ):
        require("writes", writes, 1)
        require("secants", first, 0.0)
        if reads != 1:
            raise UserError(
                f"reads is {reads} and a controller on secants has one read head; try reads=1"
            )
        self.reads, self.writes, self.secants = reads, writes, first
        gac = LSTMGAC(layers, averaging, p, scale, key=key)
        features = gac.lstm.cells[0].input_size + FEATURES
        cell = LSTM.on_features(features, layers, scale, key=key).cells[0]
        self.gac = eqx.tree_at(lambda m: m.lstm.cells[0], gac, cell)
        hidden, count = gac.lstm.layers[-1], FACTORS * writes + 2
        # All factors begin at 0, except that of s − My in the first head, which begins at `first`,
        # and one factor of each b, which begins at 1.
        factors = jnp.zeros((writes, FACTORS)).at[0, 0].set(first)
        for head in range(writes):
            factors = factors.at[head, 1 + head % 3].set(1.0)
        self.heads = eqx.tree_at(
            lambda linear: (linear.weight, linear.bias),
            eqx.nn.Linear(hidden, count, key=key),
            (jnp.zeros((count, hidden)), jnp.append(factors, jnp.zeros(2))),
        )

    def init_row(self, n: int) -> Past:
        zeros = jnp.zeros(n, phi_dtype(self.gac))
        none = jnp.zeros((), zeros.dtype)
        return Past(self.gac.init_row(n), zeros, zeros, none, none, zeros)

    def step(
        self, m: NTM, gradient: Float[Array, " n"], state: NTMState
    ) -> tuple[Float[Array, " n"], NTMState]:
        past: Past = state.h
        size = self._size(gradient)
        is_whole = jnp.isfinite(size)
        gradient = jnp.where(is_whole, gradient, past.gradient)
        # If ∇ is that large at the θ that had the smallest, f is another, as with minibatches, and
        # this ∇ becomes the smallest. At any other θ the step goes back to the θ that had the
        # smallest.
        is_far = ~is_whole | ((past.least > 0) & (size > REACH * past.least))
        is_home = jnp.all(past.away == 0)
        is_least = is_whole & ((past.least == 0) | (size < past.least) | (is_far & is_home))
        away, least = jnp.where(is_least, 0.0, past.away), jnp.where(is_least, size, past.least)
        memory, i, is_lost = self._kept(m, state.memory, gradient, is_far)
        s, y = jnp.where(is_lost, 0.0, past.s), gradient - past.gradient
        My = i - state.i[0]
        # The inputs of the LSTM+GAC and all sizes are constant in the meta-gradient, as ∇ is in the
        # paper. Near a minimum their derivatives are as large as the vectors are small.
        h, after = self.gac.run(self._see(gradient, past.gradient, s, y, i, My), past.h)
        factors = self.heads.weight @ h + cast(Array, self.heads.bias)[:, None]
        of_heads = factors[:-2].reshape(self.writes, FACTORS, -1)
        rho = self._size(y)
        a = of_heads[:, 0] * (s - My) / rho
        b = (of_heads[:, 1:] * jnp.stack([y / rho, s / self._size(s), My / self._size(My)])).sum(1)
        # Without a step there is no secant.
        a = jnp.where(jnp.any(s != 0), a, 0.0)
        # M is read again, so that the update takes account of the new writes.
        memory, i, _ = self._kept(m, m.write(memory, a, b / max(s.size, 1)), gradient, is_far)
        g = -(1.0 + factors[-2]) * i + factors[-1] * s + self.gac.lstm.emit(h) * self._size(i)
        length = self._size(g)
        is_long = (past.first_step > 0) & (length > REACH * past.first_step)
        g = jnp.where(is_long, REACH * past.first_step / length, 1.0) * g
        g = jnp.where(is_far & ~is_least, -away, g)
        first_step = jnp.where(is_whole & (past.first_step == 0), length, past.first_step)
        past = Past(after, g, gradient, first_step, least, away + g)
        return g, NTMState(past, i[None], memory)

    def _kept(
        self, m: NTM, memory: PyTree[Array], gradient: Float[Array, " n"], is_lost: Bool[Array, ""]
    ) -> tuple[PyTree[Array], Float[Array, " n"], Bool[Array, ""]]:
        """Return M, or M_0 if M is lost or wild, its product with ∇, and whether it is M_0."""
        begin = m.init_memory(gradient.size)
        plain, i = (m.read(M, gradient[None])[0] for M in (begin, memory))
        # The comparison is negated so that NaN counts as wild.
        is_lost = is_lost | ~(self._size(i) <= WILD * self._size(plain))
        kept = jax.tree.map(lambda x, now: jnp.where(is_lost, x, now), begin, memory)
        # M is read again: a NaN in the choice that is not taken would still be in the derivative.
        return kept, m.read(kept, gradient[None])[0], is_lost

    def _see(
        self, gradient: Float[Array, " n"], before: Float[Array, " n"], *others: Float[Array, " n"]
    ) -> Float[Array, "_ n"]:
        """Return the LSTM+GAC's inputs: vectors of order one, and how fast the gradient shrinks."""
        of_gradient = self.gac.lstm.features(gradient / self._size(gradient))
        units = [x / self._size(x) for x in others]
        growth = jnp.log(self._size(gradient) / self._size(before)).clip(-3.0, 3.0)
        rest = jnp.stack([*units, jnp.full_like(gradient, growth)])
        return jax.lax.stop_gradient(jnp.concatenate([of_gradient, rest]))

    def _size(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """Return the root mean square, held constant in the meta-gradient."""
        p = self.gac.lstm.p
        least = LEAST if p is None else math.exp(-p)
        return jax.lax.stop_gradient(jnp.sqrt(jnp.mean(x**2) + least**2))
