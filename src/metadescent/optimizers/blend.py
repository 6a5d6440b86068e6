"""A blend of directions, and a length that a small network sets tensor by tensor.

    m_β = running means of ∇ with β = 0.9 and 0.99,   v = one of ∇² with β = 0.999
    a   = 0.9 m_.9 + 0.1 ∇,                           all without their bias
    D_1, D_2, D_3 = whitened a,  a/√v,  m_.99/√v      each in units of its root mean square
    u = Σ_k w_k D_k,     (w, y, z) = W₂ tanh(W₁ x + b₁) + b₂
    ℓ_t = ℓ_{t−1} + κ tanh z,   ℓ_0 = 0
    r   = e^{p_0 + ℓ_t + y} · L^{−0.6} · (k/n)^{0.125}
    s   = min(1, 20 √(mean m_.9² / mean_.9 ∇²))
    g   = −r · s · c(t/T) · √(mean θ² + e^{2 p_1}/n) · u/√(mean u²)

with means over a tensor's coordinates; n is the larger and k the smaller side of a matrix, and both
are 1 of other tensors; L is the number of matrices. A coordinate holds three numbers. All that is
learned, φ = (p, W, b), works on fourteen figures x a tensor (see `blend_figures`), such as how a
gradient agrees with those before it, which says whether steps are too short or too long.

c goes up over the first twentieth of T steps and down by half a cosine; where T is not known it is
(1 + t/τ)^(−1/2), which suits noise wherever a run is stopped. With a = T/500 above 1 the way up is
√a times as short a part of the run, κ is κ/√a, and c has a factor √((1 + t/(aτ))/(1 + t/τ)).

Whitening makes the steps of a matrix equally long in all directions (see `whitening`); a tensor of
one axis has D_2 in its place. Before training w, y and z are about constant.

s is below 1 where gradients have vanished: what remains of their means says ever less, and steps of
full length along it would lead away for ever. s also falls below 1 in single steps of small
tensors, when m_.9 passes 0.

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

from metadescent import _ffi
from metadescent._errors import UserError, require
from metadescent.optimizers.base import LearnedOptimizer, Updates
from metadescent.optimizers.blend_constants import (
    BY_ASPECT,
    BY_DEPTH,
    CEILING,
    DIRECTIONS,
    FARTHEST,
    FAST,
    FEATURES,
    KAPPA,
    SLOW,
    SQUARE,
    STEPS,
    TAU,
    TINY,
    WARM_UP,
)
from metadescent.optimizers.blend_figures import (
    Figures,
    Means,
    Shapes,
    aspects,
    depth,
    network_inputs,
    renewed,
    strength,
    widths,
)
from metadescent.optimizers.native.blend import Moment, Tensors, blend_update
from metadescent.optimizers.whitening import whiten

VECTOR = 512
"""Coordinates of a vector from which on the kernel is faster than XLA's own code, of many too."""


class BlendState(NamedTuple):
    """h: of each coordinate m_.9, m_.99 and v, of each tensor its `Figures`, and t."""

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
        rate: float = 0.035,
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
        self.p = jnp.asarray([math.log(rate), math.log(floor)])
        W_1_key, W_2_key = jax.random.split(key)
        self.W_1 = jax.random.normal(W_1_key, (hidden, FEATURES)) / math.sqrt(FEATURES)
        self.b_1 = jnp.zeros(hidden)
        W_2 = 0.01 * jax.random.normal(W_2_key, (DIRECTIONS + 2, hidden))
        # Lengths stay as they are before training: any drift of z adds up over hundreds of steps.
        self.W_2 = W_2.at[-1].set(0.0)
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
        none = jnp.zeros_like(sizes)
        figures = jnp.stack(Figures(none, none, none, none, none, start=sizes, flat=none), 1)
        return BlendState(zeros, zeros, zeros, figures, jnp.zeros((), self.p.dtype))

    def update(
        self, updates: Updates, state: BlendState, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, BlendState]:
        if params is None:
            raise UserError("blend measures steps by θ and was given none; pass params")
        leaves, treedef = jax.tree.flatten(updates)
        gradients = [jnp.asarray(leaf).astype(self.p.dtype) for leaf in leaves]
        thetas = [jnp.asarray(x, self.p.dtype) for x in treedef.flatten_up_to(params)]
        h = Tensors(*(treedef.flatten_up_to(tree) for tree in state[:3]))
        given = (self, gradients, thetas, h, state.figures, state.t)
        steps, h, figures = _fused(*given) if _fuses(*given) else _reference(*given)
        g = [g.astype(jnp.result_type(leaf)) for g, leaf in zip(steps, leaves, strict=True)]
        fast, slow, square = map(treedef.unflatten, h)
        return treedef.unflatten(g), BlendState(fast, slow, square, figures, state.t + 1)

    def _renew(
        self, gradients: list[Array], thetas: list[Array], h: Tensors, kept: Array, t: Array
    ) -> tuple[list[Array], Tensors, Array]:
        """Return g, h and the array of figures after a step."""
        fasts = [FAST * m + (1 - FAST) * g for m, g in zip(h.fast, gradients, strict=True)]
        slows = [SLOW * m + (1 - SLOW) * g for m, g in zip(h.slow, gradients, strict=True)]
        squares = [
            SQUARE * v + (1 - SQUARE) * g * g for v, g in zip(h.square, gradients, strict=True)
        ]
        rows = [
            jnp.stack([*map(_mean, (g * g, g * m, m * m, fast * fast, slow * slow, abs(g)))])
            for g, m, fast, slow in zip(gradients, h.fast, fasts, slows, strict=True)
        ]
        means = Means(*_stacked(rows, self.p.dtype, len(Means._fields)).T)
        weights = _weights(t)
        shapes = [x.shape for x in thetas]
        size = self._sizes(_stacked(list(map(_mean_square, thetas)), self.p.dtype), shapes)
        figures = renewed(Figures(*kept.T), means)
        x = network_inputs(figures, means, size, shapes, self._clock(t), (weights[0], weights[1]))
        w, y, z = self._network(x)
        length = jnp.clip(figures.length + self._kappa() * jnp.tanh(z), -FARTHEST, FARTHEST)
        scale = self._rates(length + y, shapes) * self._factor(t) * size
        scale *= strength(figures, means, weights[0])
        steps = []
        for k, gradient in enumerate(gradients):
            root = jax.lax.rsqrt(squares[k] / weights[2] + TINY)
            ahead = FAST * fasts[k] / weights[0] + (1 - FAST) * gradient
            adam = _unit(root * ahead)
            u = w[k, 1] * adam + w[k, 2] * _unit(root * slows[k])
            # What had no gradient yet stays, though whitening would mix it with others.
            white = jnp.where(ahead == 0, 0.0, _unit(whiten(ahead)))
            u += w[k, 0] * (white if gradient.ndim > 1 else adam)
            steps.append(-scale[k] * _unit(u))
        kept = jnp.stack(figures._replace(length=length), 1)
        return steps, Tensors(fasts, slows, squares), kept

    def _network(
        self, x: Float[Array, "tensors features"]
    ) -> tuple[
        Float[Array, "tensors directions"], Float[Array, " tensors"], Float[Array, " tensors"]
    ]:
        """Return w, y and z of each tensor."""
        outputs = jnp.tanh(x @ self.W_1.T + self.b_1) @ self.W_2.T + self.b_2
        return outputs[:, :DIRECTIONS], outputs[:, DIRECTIONS], outputs[:, DIRECTIONS + 1]

    def _rates(self, lengths: Float[Array, " tensors"], shapes: Shapes) -> Float[Array, " tensors"]:
        """Return r, of ℓ + y."""
        # Not learned: small networks do not say how they go on in large ones.
        by_sides = 0.5 * BY_ASPECT * aspects(shapes, self.p.dtype)
        return jnp.exp(self.p[0] + lengths - BY_DEPTH * math.log(depth(shapes)) + by_sides)

    def _kappa(self) -> float:
        """Return κ."""
        return KAPPA / math.sqrt(self._longer())

    def _longer(self) -> float:
        """Return T/500, at least 1."""
        return max(1.0, self.horizon / STEPS)

    def _sizes(self, means: Float[Array, " tensors"], shapes: Shapes) -> Float[Array, " tensors"]:
        """Return sizes of tensors from their mean squares: at least the floor, and bounded."""
        size = jnp.sqrt(means + jnp.exp(2 * self.p[1]) / widths(shapes, self.p.dtype))
        return size * jax.lax.rsqrt(1 + (size / CEILING) ** 2)

    def _clock(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """Return what time it is, on a scale of logarithms, where T counts as 500 steps."""
        parts = STEPS * t / self.horizon if self.horizon else t
        return jnp.log10(1 + jnp.minimum(parts, float(STEPS))) / 4

    def _factor(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """Return c."""
        late = jax.lax.rsqrt(1 + t / TAU)
        if not self.horizon:
            return late * jnp.minimum((t + 1) / 10, 1.0)
        longer, share = self._longer(), (t + 1) / (self.horizon + 1)
        first = WARM_UP / math.sqrt(longer)
        down = jnp.clip((share - first) / (1 - first), 0.0, 1.0)
        cosine = jnp.where(share < first, share / first, 0.5 * (1 + jnp.cos(math.pi * down)))
        return cosine * late * jnp.sqrt(1 + t / longer / TAU)


def _weights(t: Float[Array, ""]) -> list[Array]:
    """Return 1 − β^t of the running means after a step."""
    return [1 - beta ** (t + 1) for beta in (FAST, SLOW, SQUARE)]


def _reference(m: Blend, *given: Any) -> tuple[list[Array], Tensors, Array]:
    """Return what `Blend._renew` does, in plain JAX: the reference."""
    return m._renew(*given)


# The derivatives are those of the reference: XLA cannot look into the kernel.
@jax.custom_jvp
def _fused(m: Blend, *given: Any) -> tuple[list[Array], Tensors, Array]:
    """Compute what `_reference` computes, on a CPU by the kernel in C++."""
    return jax.lax.platform_dependent(m, *given, cpu=_native, default=_reference)


@_fused.defjvp
def _fused_jvp(given: Any, tangents: Any) -> tuple[Any, Any]:
    return jax.jvp(_reference, given, tangents)


def _native(
    m: Blend, gradients: list[Array], thetas: list[Array], h: Tensors, figures: Array, t: Array
) -> tuple[list[Array], Tensors, Array]:
    shapes = [x.shape for x in thetas]
    fast, slow, square = _weights(t)
    moment = Moment(fast, slow, square, m._clock(t), m._factor(t), m._kappa())
    phi = (m.p, m.W_1, m.b_1, m.W_2, m.b_2)
    return blend_update(phi, moment, shapes, gradients, thetas, h, figures)


def _fuses(m: Blend, gradients: list[Array], thetas: list[Array], h: Tensors, *rest: Array) -> bool:
    """Return whether there is a kernel for these, and worth its call."""
    shapes = [[x.shape for x in arrays] for arrays in (gradients, thetas, *h)]
    is_alike = len(gradients) > 0 and all(each == shapes[0] for each in shapes)
    # Many short vectors under `vmap` are one long one to XLA, and many calls of the network here.
    mean = sum(x.size for x in gradients) / max(1, len(gradients))
    pays = mean >= VECTOR or any(x.ndim > 1 for x in gradients)
    return is_alike and pays and _ffi.can_run(*jax.tree.leaves((m, gradients, thetas, h, rest)))


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
