"""Quasi-Newton steps for one family of problems: in its own coordinates, guarded, and led.

∇̃   = Bᵀ∇ / r,     B = (1 + A) diag(e^σ)     r the size of the first gradient
D    = (m_β/√v for each β, ∇̃/√v, m_β for each β but the fastest, u, H ∇̃ / scale)
u    = the output of an LSTM of each coordinate, as in the paper, if there is one (see `cells`)
w_t  = exp(W h_t + V z_t + b), at most 2     h_t, c_t = LSTM(z_t, h_{t−1}, c_{t−1}), for all of θ
s_t  = −scale Σ_k w_k D_k, shortened to a root mean square of ρ_t;     scale · j is added to s_0
       The sum without H ∇̃ is shortened to e^λ times the length of H ∇̃, once that is known. It is
       of ∇̃/√v alone if the whole sum would lead uphill.
g_t  = B s_t,     or −(1 − κ) g_{t−1} where the last step led too far (see `guard`)

m, v = running means of ∇̃ (for each β) and of ∇̃² (for the slowest), without their bias
H    = L-BFGS of the steps that were kept (see `quasi_newton`), or `bfgs` if coordinates are few; if
       f is not convex along the last step, H ∇̃ is lengthened to e^{ρ'} times that step
ρ_t  = e^ρ scale at first; then the largest of e^{ρ'} |s| so far, but half a step that is taken back
z_t  = the features of the run so far (see `features_of`)

With a `start`, g_0 = (e^κ − 1) θ₀, and all of the above begins at e^κ θ₀.

L-BFGS searches along lines, and each place that it tries costs a gradient. This rule takes one
gradient a step: its guard sees from the slope, after the fact, that a step was too long. Training
sets how far to trust which direction at which time. The size of θ₀ decides which minimum the rule
reaches: factors of a matrix that begin close to 0 reach better ones, and networks need the size of
their own θ₀. If `coordinates` says how many there are, the rule also learns what one family has in
common: the size σ of each coordinate, the metric A if there are few, and the first step j. Scaling
f leaves every step as it is.

Source: ours. Moments and clocks are as in `anytime`; one recurrent network that weighs directions
for a whole tensor is as in Metz et al. (2022), "VeLO".
"""

from collections.abc import Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.optimizers.base import LearnedOptimizer, State, Updates, phi_dtype
from metadescent.optimizers.bfgs import CurvatureMatrix, dot, learn_from, no_matrix
from metadescent.optimizers.lstm import layer, lstm_cell, truncated_normal
from metadescent.optimizers.quasi_newton import direction, no_pairs, remember
from metadescent.optimizers.rnnprop import check_betas, grow
from metadescent.optimizers.tailored.cells import Cells
from metadescent.optimizers.tailored.cells import State as CellState
from metadescent.optimizers.tailored.features import (
    AT_START,
    CLOCKS,
    COUNT,
    TIME,
    features_of,
    rms,
    size_of,
)
from metadescent.optimizers.tailored.guard import judge_step
from metadescent.optimizers.tailored.progress import Curvature, Progress

FEW = 40
"""The most coordinates that have a metric of their own, and H as a matrix."""
RETREATS = 6
"""The most steps back in a row."""
LEAST = 1e-4
"""A pair counts if the cosine of s and y is more than this."""


class Tailored(LearnedOptimizer):
    """L-BFGS of one gradient a step, made for one family of problems.

    Arguments:
        coordinates: how many coordinates θ has, all leaves together; each has a size and a first
            step of its own. 0 for a rule that takes any θ and has neither.
        units: hidden units of the LSTM for all of θ.
        cells: hidden units of the LSTM of each coordinate; 0 for none.
        betas: decays of the moments, the fastest first, each from 0 to 0.99999.
        scale: the size of a step by moments before training; best the rate that suits Adam.
        reach: e^ρ before training, the longest first step relative to `scale`.
        memory: how many steps L-BFGS remembers (BFGS of few coordinates remembers all); 0 for no
            H, which suits minibatches.
        guard: whether steps are taken back. With minibatches their noise alone would cause this.
        start: e^κ before training; 0 for a rule that leaves θ₀ as it is, and need not be given it.
        horizon: T.
        key: draws φ.

    Raises:
        UserError: on use, if θ has another number of coordinates than it was made for, or is
            needed and not given.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> m, theta = Tailored(key=jax.random.key(0)), jnp.asarray([1.0, 2.0])
        >>> slopes, h, update = jnp.asarray([1.0, 100.0]), m.init(theta), eqx.filter_jit(m.update)
        >>> for _ in range(30):
        ...     g, h = update(slopes * theta, h, theta)
        ...     theta = theta + g
        >>> bool(jnp.abs(theta).max() < 1e-3)
        True
    """

    cell: eqx.nn.LSTMCell
    output: Float[Array, "directions units"]
    direct: Float[Array, "directions features"]
    bias: Float[Array, " directions"]
    lengths: Float[Array, "4"]
    begin_at: Float[Array, ""] | None
    of_each: Cells | None
    sizes: Float[Array, " coordinates"] | None
    begin: Float[Array, " coordinates"] | None
    metric: Float[Array, "coordinates coordinates"] | None
    coordinates: int = eqx.field(static=True)
    betas: tuple[float, ...] = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    guard: bool = eqx.field(static=True)
    horizon: float = eqx.field(static=True)

    def __init__(
        self,
        coordinates: int = 0,
        units: int = 16,
        cells: int = 0,
        betas: Sequence[float] = (0.5, 0.9, 0.97),
        scale: float = 0.1,
        reach: float = 5.0,
        memory: int = 20,
        guard: bool = True,
        start: float = 0.0,
        horizon: float = 100.0,
        *,
        key: PRNGKeyArray,
    ):
        require("coordinates", coordinates, 0)
        require("units", units, 1)
        require("cells", cells, 0)
        check_betas(betas)
        require("scale", scale, 1e-12)
        require("reach", reach, 1e-12)
        require("memory", memory, 0)
        require("start", start, 0.0)
        require("horizon", horizon, 1.0)
        self.coordinates, self.betas = coordinates, tuple(betas)
        self.memory, self.guard, self.horizon = memory, guard, horizon
        cell_key, output_key, cells_key = jax.random.split(key, 3)
        directions = 2 * len(self.betas) + 1 + (cells > 0)
        self.cell = lstm_cell(COUNT, units, cell_key)
        self.output = 0.1 * truncated_normal(output_key, (directions, units), units)
        # Before training the first step is Adam's, and then L-BFGS leads: directions by moments
        # have a twentieth of its weight or less, and e^−4 of that at the end.
        adam = len(self.betas) // 2
        direct = jnp.zeros((directions, COUNT)).at[:-1, TIME].set(-4.0)
        self.direct = direct.at[adam, AT_START].set(3.0)
        self.bias = jnp.full(directions, -4.0, direct.dtype).at[adam].set(-3.0).at[-1].set(0.0)
        self.of_each = None
        if cells:
            self.of_each = Cells(cells, len(self.betas) + 1, coordinates, key=cells_key)
            self.bias = self.bias.at[-2].set(0.0)
        # The logarithm of the scale, ρ, ρ' and λ.
        self.lengths = jnp.log(jnp.asarray([scale, reach, 2.0, 0.2], direct.dtype))
        self.begin_at = jnp.log(jnp.asarray(start, direct.dtype)) if start else None
        self.sizes = self.begin = jnp.zeros(coordinates) if coordinates else None
        self.metric = jnp.zeros((coordinates,) * 2) if 0 < coordinates <= FEW else None

    @property
    def units(self) -> int:
        return self.output.shape[1]

    @property
    def cells(self) -> int:
        return 0 if self.of_each is None else len(self.of_each.output)

    @property
    def is_small(self) -> bool:
        """Return whether H is a matrix."""
        return self.memory > 0 and 0 < self.coordinates <= FEW

    def scale(self) -> Float[Array, ""]:
        """Return the size of a step by moments."""
        return jnp.exp(self.lengths[0])

    def init(self, params: PyTree) -> State:
        dtype = phi_dtype(self)
        n = sum(jnp.size(leaf) for leaf in jax.tree.leaves(params))
        if self.coordinates and n != self.coordinates:
            raise UserError(
                f"the optimizer was made for θ of {self.coordinates} coordinates and was given one "
                f"of {n}; learn another for it"
            )
        zero, row, h = jnp.zeros((), dtype), jnp.zeros(n, dtype), jnp.zeros(self.units, dtype)
        means = jnp.zeros((len(self.betas), n), dtype)
        # Even without L-BFGS the memory of one pair is needed for where the last step began.
        pairs = no_matrix(row) if self.is_small else no_pairs(row, max(1, self.memory))
        cells = None if self.of_each is None else self.of_each.begin(row)
        has_start = None if self.begin_at is None else jnp.zeros((), bool)
        return Progress(means, row, zero, zero, (h, h), pairs, row, cells, zero, zero, has_start)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        del extra_args
        row, unravel = ravel_pytree(updates)
        gradient = self.to_own(row.astype(self.bias.dtype))
        step, after = self.next_step(gradient, state)
        step = self.from_own(step)
        if self.begin_at is not None:
            if params is None:
                raise UserError(
                    "the optimizer begins with a multiple of θ, and was not given it; try "
                    "optimizer.update(gradient, state, params)"
                )
            theta, _ = ravel_pytree(params)
            has_start = state.has_start
            step = jnp.where(has_start, step, jnp.expm1(self.begin_at) * theta.astype(step.dtype))
            after = jax.tree.map(lambda new, old: jnp.where(has_start, new, old), after, state)
            after = after._replace(has_start=jnp.ones_like(has_start))
        return unravel(step.astype(row.dtype)), after

    def to_own(self, gradient: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return Bᵀ∇."""
        if self.metric is not None:
            gradient = gradient + jnp.sum(self.metric * gradient[:, None], 0)
        return gradient if self.sizes is None else jnp.exp(self.sizes) * gradient

    def from_own(self, step: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return B s."""
        step = step if self.sizes is None else jnp.exp(self.sizes) * step
        return step if self.metric is None else step + jnp.sum(self.metric * step, 1)

    def next_step(
        self, gradient: Float[Array, " n"], before: Progress
    ) -> tuple[Float[Array, " n"], Progress]:
        """Return the next step s, or a step that takes part of the last one back."""
        is_finite = jnp.isfinite(gradient).all()
        gradient = jnp.where(is_finite, gradient, 0.0)
        first = jnp.where(before.first > 0, before.first, size_of(gradient))
        gradient = gradient / jnp.where(first > 0, first, 1.0)
        verdict = judge_step(before.step, before.pairs.gradient, gradient, is_finite)
        # At θ₀ there is no step to take back.
        may = self.guard & (before.steps > 0) & (before.retreats < RETREATS)
        back = may & verdict.too_far
        step, after = self._advance(gradient, before, (verdict.before, verdict.after))
        after = after._replace(first=first)
        shorter = before._replace(
            step=verdict.kept * before.step,
            first=first,
            radius=jnp.minimum(before.radius, 0.5 * rms(before.step)),
            retreats=before.retreats + 1,
        )
        after = jax.tree.map(lambda a, b: jnp.where(back, a, b), shorter, after)
        return jnp.where(back, (verdict.kept - 1) * before.step, step), after

    def _advance(
        self, gradient: Array, before: Progress, slopes: tuple[Array, Array]
    ) -> tuple[Array, Progress]:
        """Return the next step if the last one is kept."""
        t, last = before.steps, before.pairs.gradient
        beta = jnp.asarray(self.betas, gradient.dtype)[:, None]
        means = beta * before.means + (1 - beta) * gradient
        root = grow(before.root, gradient, self.betas[-1])
        free = means / (1 - beta ** (t + 1))
        moments = jnp.concatenate([free, gradient[None]])
        moments = moments / (root / jnp.sqrt(1 - self.betas[-1] ** (t + 1)))
        place = jax.lax.stop_gradient(before.pairs.theta + before.step)
        if isinstance(before.pairs, CurvatureMatrix):
            pairs = learn_from(before.pairs, place, gradient, LEAST)
        else:
            pairs = remember(before.pairs, place, gradient, least=LEAST)
        d = self._newton(pairs, gradient, last, before) if self.memory else 0 * gradient
        z = features_of(gradient, last, before.step, d, slopes, t, before.retreats, self.horizon)
        h, c = layer(self.cell, z, *before.hidden)
        w = jnp.exp(jnp.clip(self.output @ h + self.direct @ z + self.bias, -14.0, 0.7))
        directions, cells = [*moments, *free[1:]], before.cells
        if self.of_each is not None:
            u, cells = self.of_each(moments, d, z[CLOCKS], cast(CellState, cells))
            directions.append(u)
        step = -self.scale() * (
            self._beside(jnp.sum(w[:-1, None] * jnp.stack(directions), 0), d) + w[-1] * d
        )
        if self.guard:
            # Momentum may lead uphill, and then no part of a step would be short enough.
            down = self._beside(w[len(self.betas)] * moments[-1], d) + w[-1] * d
            step = jnp.where(dot(step, gradient) < 0, step, -self.scale() * down)
        reach = jnp.exp(self.lengths[2]) * rms(before.step)
        radius = jnp.maximum(before.radius, reach)
        radius = jnp.where(t > 0, radius, jnp.exp(self.lengths[0] + self.lengths[1]))
        step = step * jnp.minimum(1.0, radius / rms(step))
        if self.begin is not None:
            step = step + self.scale() * (t == 0) * self.begin
        none = jnp.zeros_like(before.retreats)
        # Where a step began, and how long it was, is held constant in the meta-gradient.
        kept = jax.lax.stop_gradient(step)
        return step, Progress(
            means,
            root,
            t + 1,
            before.first,
            (h, c),
            pairs,
            kept,
            cells,
            radius,
            none,
            before.has_start,
        )

    def _beside(self, by_moments: Array, d: Array) -> Array:
        """Return a step by moments; once there is an H ∇̃, at most e^λ times as long as that."""
        longest = jnp.exp(self.lengths[3]) * rms(d)
        part = jnp.where(jnp.any(d != 0), jnp.minimum(1.0, longest / rms(by_moments)), 1.0)
        return part * by_moments

    def _newton(
        self,
        pairs: Curvature,
        gradient: Array,
        last: Array,
        before: Progress,
    ) -> Array:
        """Return H ∇̃ / scale, lengthened where f is not convex along the last step."""
        s, y, begun = before.step, gradient - last, before.steps > 0
        is_convex = dot(s, y) > LEAST * jnp.sqrt(dot(s, s) * dot(y, y))
        factor = jnp.where(before.retreats > 0, 1.0, jnp.exp(self.lengths[2]))
        reach = jnp.where(begun, factor * rms(s), 0.0)
        if isinstance(pairs, CurvatureMatrix):
            d = jnp.sum(pairs.inverse * gradient, 1)
        else:
            d = direction(pairs, gradient, least=LEAST)
        # As long as f was nowhere convex there is no pair, and d is along the gradient.
        d = jnp.where(begun & (jnp.sum(d * d) == 0), gradient * reach / rms(gradient), d)
        longer = jnp.where(begun & ~is_convex, jnp.maximum(1.0, reach / rms(d)), 1.0)
        return d * longer / self.scale()


NAMED = {"tailored": Tailored}
