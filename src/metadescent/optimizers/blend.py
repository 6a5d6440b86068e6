"""A blend of directions, and a length that a small network sets tensor by tensor.

    m_β = running means of ∇ with β = 0.9 and 0.99,   v = one of ∇² with β = 0.999
    a   = 0.9 m_.9 + 0.1 ∇,                           all without their bias
    D_1, D_2, D_3 = whitened a,  a/√v,  m_.99/√v      each in units of its root mean square
    u = Σ_k w_k D_k,     (w, y, z) = W₂ tanh(W₁ x + b₁) + b₂
    ℓ_t = ℓ_{t−1} + κ tanh z,   ℓ_0 = 0
    g = −e^{p_0 + ℓ_t + y} · c(t/T) · √(mean θ² + e^{2 p_1}/n) · u/√(mean u²)

with means over a tensor's coordinates; n is the larger side of a matrix, and 1 of other tensors. A
coordinate holds three numbers. All that is learned, φ = (p, W, b), works on twelve figures x a
tensor. These are ratios, so that the scale of f is not
among them: how gradients agree with their means, which says whether steps are too short or too
long; how much of a gradient is noise; in how much of a tensor it is; how θ and ∇ grow; how many
coordinates there are; what time it is. c goes up over the first twentieth of T steps and down by
half a cosine; where T is not known it is (1 + t/τ)^(−1/2), which suits noise wherever a run is
stopped. Whitening makes the steps of a matrix equally long in all directions (see `whitening`); a
tensor of one axis has D_2 in its place. Before training w, y and z are about constant.

Source: learned weights of known directions from Bello et al. (2017), "Neural optimizer search"; a
network a tensor over such ratios from Metz et al. (2022), "VeLO"; steps in parts of θ from You,
Gitman and Ginsburg (2017); agreement as a sign for lengths from Jacobs (1988), "Increased rates of
convergence through learning rate adaptation".
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.optimizers.base import LearnedOptimizer, Updates
from metadescent.optimizers.blend_constants import (
    CEILING,
    DIRECTIONS,
    FARTHEST,
    FAST,
    FEATURES,
    KAPPA,
    SLOW,
    SQUARE,
    TAU,
    TINY,
    WARM_UP,
)
from metadescent.optimizers.whitening import whiten

Shapes = list[tuple[int, ...]]


class BlendState(NamedTuple):
    """h: of each coordinate m_.9, m_.99 and v, of each tensor seven figures, and t.

    figures  agreement with m_.9, fast and slow; mean ∇², fast and slow; ℓ; the size of θ₀;
             mean |∇| ÷ √mean ∇²
    """

    fast: PyTree
    slow: PyTree
    square: PyTree
    figures: Float[Array, "tensors 7"]
    t: Float[Array, ""]


class Blend(LearnedOptimizer):
    """Directions that are known, weighed and scaled by a network that looks at each tensor.

    Arguments:
        horizon: T; 0 where it is not known.
        rate: e^{p_0} before training, the length of a step beside θ.
        floor: e^{p_1} before training: the size of tensors that begin at 0, of a matrix by √n.
        hidden: units of the network.
        key: draws φ.

    Raises:
        UserError: on use, if θ is not given.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> m, theta = Blend(key=jax.random.key(0)), jnp.full(4, 2.0)
        >>> small, large = (m.update(jnp.full(4, x), m.init(theta), theta)[0] for x in (1e-6, 1e3))
        >>> bool(jnp.allclose(small, large, rtol=1e-3))
        True
    """

    p: Float[Array, "2"]
    W_1: Float[Array, "hidden features"]
    b_1: Float[Array, " hidden"]
    W_2: Float[Array, "outputs hidden"]
    b_2: Float[Array, " outputs"]
    horizon: float = eqx.field(static=True)

    def __init__(
        self,
        horizon: float = 0.0,
        rate: float = 0.02,
        floor: float = 0.2,
        hidden: int = 8,
        *,
        key: PRNGKeyArray,
    ):
        require("horizon", horizon, 0.0)
        require("rate", rate, 1e-12)
        require("floor", floor, 1e-12)
        require("hidden", hidden, 1)
        self.horizon = horizon
        self.p = jnp.log(jnp.asarray([rate, floor]))
        W_1_key, W_2_key = jax.random.split(key)
        self.W_1 = jax.random.normal(W_1_key, (hidden, FEATURES)) / math.sqrt(FEATURES)
        self.b_1 = jnp.zeros(hidden)
        self.W_2 = 0.01 * jax.random.normal(W_2_key, (DIRECTIONS + 2, hidden))
        # The whitened direction, and lengths that stay.
        self.b_2 = jnp.zeros(DIRECTIONS + 2).at[0].set(1.0)

    @property
    def hidden(self) -> int:
        """Units of the network."""
        return self.b_1.shape[0]

    def init(self, params: PyTree) -> BlendState:
        thetas = [jnp.asarray(theta, self.p.dtype) for theta in jax.tree.leaves(params)]
        means = _stacked([_mean_square(theta) for theta in thetas], self.p.dtype)
        sizes = self._sizes(means, [theta.shape for theta in thetas])
        zeros = jax.tree.map(lambda theta: jnp.zeros_like(theta, self.p.dtype), params)
        figures = jnp.zeros((len(thetas), 7), self.p.dtype).at[:, 5].set(sizes)
        return BlendState(zeros, zeros, zeros, figures, jnp.zeros((), self.p.dtype))

    def update(
        self, updates: Updates, state: BlendState, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, BlendState]:
        if params is None:
            raise UserError("blend measures steps by θ and was given none; pass params")
        leaves, treedef = jax.tree.flatten(updates)
        gradients = [jnp.asarray(leaf).astype(self.p.dtype) for leaf in leaves]
        thetas = [jnp.asarray(x, self.p.dtype) for x in treedef.flatten_up_to(params)]
        before = [treedef.flatten_up_to(tree) for tree in state[:3]]
        fasts = [FAST * m + (1 - FAST) * g for m, g in zip(before[0], gradients, strict=True)]
        slows = [SLOW * m + (1 - SLOW) * g for m, g in zip(before[1], gradients, strict=True)]
        squares = [
            SQUARE * v + (1 - SQUARE) * g * g for v, g in zip(before[2], gradients, strict=True)
        ]
        means = [
            jnp.stack([*map(_mean, (g * g, g * m, m * m, fast * fast, slow * slow, abs(g))), size])
            for g, m, fast, slow, size in zip(
                gradients, before[0], fasts, slows, map(_mean_square, thetas), strict=True
            )
        ]
        weights = [1 - beta ** (state.t + 1) for beta in (FAST, SLOW, SQUARE)]
        shapes = [x.shape for x in thetas]
        size = self._sizes(_stacked([row[6] for row in means], self.p.dtype), shapes)
        x, figures = self._features(
            _stacked([row[:6] for row in means], self.p.dtype, 6), size, state, weights, shapes
        )
        w, y, z = self._network(x)
        length = jnp.clip(figures[:, 4] + KAPPA * jnp.tanh(z), -FARTHEST, FARTHEST)
        figures = figures.at[:, 4].set(length)
        scale = jnp.exp(self.p[0] + length + y) * self._factor(state.t) * size
        g = []
        for k, gradient in enumerate(gradients):
            root = jax.lax.rsqrt(squares[k] / weights[2] + TINY)
            ahead = FAST * fasts[k] / weights[0] + (1 - FAST) * gradient
            adam = _unit(root * ahead)
            u = w[k, 1] * adam + w[k, 2] * _unit(root * slows[k])
            # What had no gradient yet stays, though whitening would mix it with others.
            white = jnp.where(ahead == 0, 0.0, _unit(whiten(ahead)))
            u += w[k, 0] * (white if gradient.ndim > 1 else adam)
            g.append((-scale[k] * _unit(u)).astype(jnp.result_type(leaves[k])))
        fast, slow, square = (treedef.unflatten(tree) for tree in (fasts, slows, squares))
        return treedef.unflatten(g), BlendState(fast, slow, square, figures, state.t + 1)

    def _features(
        self,
        means: Float[Array, "tensors 6"],
        size: Float[Array, " tensors"],
        state: BlendState,
        weights: list[Array],
        shapes: Shapes,
    ) -> tuple[Float[Array, "tensors features"], Float[Array, "tensors 7"]]:
        """Return x of each tensor, and its next figures but ℓ."""
        q_now, along, fast_before, fast, slow, flat = means.T
        # One root after the other: the product of the squares may be too small for the dtype.
        agrees = along * jax.lax.rsqrt(q_now + TINY) * jax.lax.rsqrt(fast_before + TINY)
        f = state.figures
        agreed = FAST * f[:, 0] + (1 - FAST) * agrees, SLOW * f[:, 1] + (1 - SLOW) * agrees
        qs = FAST * f[:, 2] + (1 - FAST) * q_now, SLOW * f[:, 3] + (1 - SLOW) * q_now
        q = qs[1] / weights[1] + TINY
        # 1 where all coordinates have gradients alike, towards 0 where few have any.
        flats = SLOW * f[:, 6] + (1 - SLOW) * flat * jax.lax.rsqrt(q_now + TINY)
        rows = [
            agreed[0],
            agreed[1] / weights[1],
            0.5 * jnp.log10(fast / weights[0] ** 2 / q + 1e-6),
            0.5 * jnp.log10(slow / weights[1] ** 2 / q + 1e-6),
            0.5 * jnp.log10((qs[0] / weights[0] + TINY) / q),
            jnp.log10(size / f[:, 5]),
            jnp.log10(size),
            jnp.asarray([float(len(shape) > 1) for shape in shapes], self.p.dtype),
            jnp.log10(_widths(shapes, self.p.dtype)) - 1,
            jnp.full(len(shapes), self._clock(state.t)),
            f[:, 4],
            flats / weights[1] - 0.7,
        ]
        return jnp.stack(rows, 1), jnp.stack([*agreed, *qs, f[:, 4], f[:, 5], flats], 1)

    def _network(
        self, x: Float[Array, "tensors features"]
    ) -> tuple[
        Float[Array, "tensors directions"], Float[Array, " tensors"], Float[Array, " tensors"]
    ]:
        """Return w, y and z of each tensor."""
        outputs = jnp.tanh(x @ self.W_1.T + self.b_1) @ self.W_2.T + self.b_2
        return outputs[:, :DIRECTIONS], outputs[:, DIRECTIONS], outputs[:, DIRECTIONS + 1]

    def _sizes(self, means: Float[Array, " tensors"], shapes: Shapes) -> Float[Array, " tensors"]:
        """Return sizes of tensors from their mean squares: at least the floor, and bounded."""
        size = jnp.sqrt(means + jnp.exp(2 * self.p[1]) / _widths(shapes, self.p.dtype))
        return size * jax.lax.rsqrt(1 + (size / CEILING) ** 2)

    def _clock(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """Return what time it is, on a scale of logarithms, where T counts as 500 steps."""
        parts = 500 * t / self.horizon if self.horizon else t
        return jnp.log10(1 + jnp.minimum(parts, 500.0)) / 4

    def _factor(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """Return c."""
        if not self.horizon:
            return jax.lax.rsqrt(1 + t / TAU) * jnp.minimum((t + 1) / 10, 1.0)
        share = (t + 1) / (self.horizon + 1)
        down = jnp.clip((share - WARM_UP) / (1 - WARM_UP), 0.0, 1.0)
        return jnp.where(share < WARM_UP, share / WARM_UP, 0.5 * (1 + jnp.cos(math.pi * down)))


def _widths(shapes: Shapes, dtype: Any) -> Float[Array, " tensors"]:
    """Return the larger side of each matrix, and 1 for what is none."""
    sides = [(math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (1, 1) for shape in shapes]
    return jnp.asarray([max(1, *side) for side in sides], dtype)


def _unit(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return x in units of its root mean square, 0 where that is 0."""
    square = _mean_square(x)
    return x * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))


def _mean_square(x: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Return the mean of x², 0 of no coordinates."""
    return _mean(x * x)


def _mean(x: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Return a mean, 0 of no coordinates."""
    return x.mean() if x.size else jnp.zeros((), x.dtype)


def _stacked(rows: list[Array], dtype: Any, *shape: int) -> Array:
    """Return rows as one array, which may have none."""
    return jnp.stack(rows) if rows else jnp.zeros((0, *shape), dtype)


NAMED = {"blend": Blend}
