"""An LSTM for pictures: one for each pixel, which sees all its colours and its surroundings.

m_β, v   = running means of ∇ (for each β) and of ∇² (for the last β), both without their bias
l_β      = m_β / √(mean v)              their size relative to the whole picture's gradient
a_β      = m_β / √v                     their size relative to their own gradients
n        = −H ∇ / scale, shortened to a root mean square of 1/2      H of `windowed_newton`
x_t      = (l_β, B l_β for each blur B, a_β, n, log₁₀(1 + t)/4)     all β and colours of a pixel
h_t, c_t = LSTM(x_t, h_{t−1}, c_{t−1})                              of each pixel
g_t      = scale · (1 + t/τ)^(−1/2) · (W h_t + A x_t + (v h_t) n)   all colours of a pixel

A feature network responds to edges, spots and colours, and f is curved otherwise along these than
along single coordinates. B is a Gaussian blur, so sums over x_t are filters of the gradient, and A
mixes colours. H is made from the last K steps and has what no filter has: the pictures along which
f is curved at this θ. v weighs n pixel by pixel.

Source: moments, clock and factor of time are those of `anytime`; a recurrent network that descends
on pictures and sees neighbours is from Putzky and Welling (2017), "Recurrent inference machines for
solving inverse problems".
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require, require_kind
from metadescent.optimizers.base import LearnedOptimizer, State, Updates, phi_dtype
from metadescent.optimizers.lstm import layer, lstm_cell, truncated_normal
from metadescent.optimizers.pictorial.blur import blurred
from metadescent.optimizers.pictorial.windowed_newton import windowed_direction
from metadescent.optimizers.quasi_newton import CurvaturePairs, no_pairs, remember
from metadescent.optimizers.rnnprop import check_betas, grow

COLOURS = 3
LONGEST = 0.5  # the largest root mean square of n
Planes = Float[Array, "_ height width"]
Moments = tuple[Planes, Planes, Float[Array, ""]]
PictureState = tuple[Moments, tuple[Planes, Planes], CurvaturePairs | None]


class Pictorial(LearnedOptimizer):
    """An LSTM a pixel, on the moments of the gradient there and around.

    A leaf of θ of the shape height × width × 3 is a picture. Every coordinate of any other leaf is
    a picture of its own: a grey pixel without surroundings.

    Arguments:
        units: hidden units.
        betas: decays of the moments, the fastest first, each from 0 to 0.99999; the rule begins
            as Adam with the middle one.
        blurs: standard deviations of the blurs, in pixels.
        tau: steps after which the steps' length begins to fall.
        clock: steps after which the LSTM's clock stands still; best the horizon of meta-training.
        scale: factor on the output: about the size of the first steps; L-BFGS's have half at most.
        memory: K, how many steps L-BFGS remembers; 0 for no L-BFGS.
        window: standard deviation of the windows of L-BFGS, and their distance, in pixels.
        fine, coarse: factors in H_0, for all changes and for each blur.
        key: draws φ.

    Raises:
        UserError: on use, if it has a memory and θ is not given.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> m = Pictorial(units=4, scale=0.1, key=jax.random.key(0))
        >>> picture = jnp.ones((5, 6, 3))
        >>> g, h = eqx.filter_jit(m.update)(picture, m.init(picture), picture)
        >>> g.shape, bool(jnp.allclose(g, -0.05, atol=0.02))
        ((5, 6, 3), True)
    """

    cell: eqx.nn.LSTMCell
    output: Float[Array, "3 units"]
    mix: Float[Array, "3 features"]
    trust: Float[Array, " units_or_0"]
    betas: tuple[float, ...] = eqx.field(static=True)
    blurs: tuple[float, ...] = eqx.field(static=True)
    tau: float = eqx.field(static=True)
    clock: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    window: float = eqx.field(static=True)
    fine: float = eqx.field(static=True)
    coarse: float = eqx.field(static=True)

    def __init__(
        self,
        units: int = 24,
        betas: Sequence[float] = (0.8, 0.95, 0.99),
        blurs: Sequence[float] = (1.5, 6.0),
        tau: float = 1000.0,
        clock: float = 128.0,
        scale: float = 0.05,
        memory: int = 20,
        window: float = 8.0,
        fine: float = 3.5,
        coarse: float = 3.5,
        *,
        key: PRNGKeyArray,
    ):
        require("units", units, 1)
        require_kind("blurs", blurs, Sequence, "a list or tuple of widths; try (1.5, 6.0)")
        check_betas(betas)
        for blur in blurs:
            require("a blur", blur, 1e-6)
        require("tau", tau, 1e-6)
        require("clock", clock, 0.0)
        require("scale", scale, 1e-12)
        require("memory", memory, 0)
        require("window", window, 1e-6)
        require("fine", fine, 1e-6)
        require("coarse", coarse, 0.0)
        self.betas, self.blurs = tuple(betas), tuple(blurs)
        self.tau, self.clock, self.scale = tau, clock, scale
        self.memory, self.window, self.fine, self.coarse = memory, window, fine, coarse
        whole, own = COLOURS * len(betas) * (1 + len(blurs)), COLOURS * len(betas)
        newton = COLOURS if memory else 0
        features = whole + own + newton + 1
        cell_key, output_key = jax.random.split(key)
        self.cell = lstm_cell(features, units, cell_key)
        # Before training W is small, v is 0, and A x_t is a step of L-BFGS plus half a step of
        # Adam, whose momentum has the middle β. Without a memory it is a whole step of Adam.
        self.output = 0.1 * truncated_normal(output_key, (COLOURS, units), units)
        colour = jnp.arange(COLOURS)
        adam = whole + COLOURS * (len(betas) // 2) + colour
        mix = jnp.zeros((COLOURS, features)).at[colour, adam].set(-0.5 if memory else -1.0)
        self.mix = mix.at[:, whole + own : -1].set(jnp.eye(COLOURS)[:, :newton])
        self.trust = jnp.zeros(units if memory else 0)

    @property
    def units(self) -> int:
        return self.output.shape[1]

    def init(self, params: PyTree) -> State:
        return jax.tree.map(self._begin, params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        del extra_args
        if params is None and self.memory:
            raise UserError("pictorial follows the steps of θ and was given none; pass params")
        leaves, treedef = jax.tree.flatten(updates)
        states = treedef.flatten_up_to(state)
        thetas = leaves if params is None else treedef.flatten_up_to(params)
        moved = [self._leaf(*each) for each in zip(leaves, states, thetas, strict=True)]
        return treedef.unflatten([g for g, _ in moved]), treedef.unflatten([h for _, h in moved])

    def update_picture(
        self,
        gradient: Float[Array, "3 height width"],
        state: PictureState,
        theta: Float[Array, "3 height width"],
    ) -> tuple[Float[Array, "3 height width"], PictureState]:
        """Run the pixels of one picture through the LSTM."""
        before, (h, c), pairs = state
        x, moments = self.features(gradient, before)
        n = jnp.zeros_like(gradient)
        if pairs is not None:
            pairs = remember(pairs, theta, gradient)
            n = self._newton(pairs, gradient)
            x = jnp.concatenate([x[:-1], n, x[-1:]])  # before the clock
        h, c = layer(self.cell, x, h, c)
        g = jnp.tensordot(self.output, h, 1) + jnp.tensordot(self.mix, x, 1)
        if pairs is not None:
            g = g + jnp.tensordot(self.trust, h, 1) * n
        factor = self.scale * jax.lax.rsqrt(1 + before[-1] / self.tau)
        return factor * g, (moments, (h, c), pairs)

    def features(
        self, gradient: Float[Array, "3 height width"], moments: Moments
    ) -> tuple[Planes, Moments]:
        """Return x without n, and the next moments: m_β one after the other, √v, and t."""
        means, root, t = moments
        beta = jnp.repeat(jnp.asarray(self.betas, means.dtype), COLOURS)[:, None, None]
        again = (len(self.betas), 1, 1)
        means = beta * means + (1 - beta) * jnp.tile(gradient, again)
        root = grow(root, gradient, self.betas[-1])
        clock = jnp.log10(1 + jnp.minimum(t, self.clock)) / 4
        t = t + 1
        free = means / (1 - beta**t)
        size = root / jnp.sqrt(1 - self.betas[-1] ** t)
        own = free / jnp.tile(size, again)
        whole = free * jax.lax.rsqrt(jnp.mean(size * size))
        around = [blurred(whole, width) for width in self.blurs]
        time = jnp.full((1, *gradient.shape[1:]), clock)
        return jnp.concatenate([whole, *around, own, time]), (means, root, t)

    def _newton(
        self, pairs: CurvaturePairs, gradient: Float[Array, "3 height width"]
    ) -> Float[Array, "3 height width"]:
        """Return n, shortened to `LONGEST`."""
        d = windowed_direction(
            pairs, gradient, self.blurs, window=self.window, fine=self.fine, coarse=self.coarse
        )
        n = -d / self.scale
        return n * jax.lax.rsqrt(jnp.maximum(jnp.mean(n * n) / LONGEST**2, 1.0))

    def _begin(self, theta: Any) -> State:
        # A picture has one state; any other leaf has a state for each coordinate.
        pixels, before = (1, 1), (jnp.size(theta),)
        if _is_picture(theta):
            pixels, before = jnp.shape(theta)[:2], ()

        def zeros(planes: int) -> Array:
            return jnp.zeros((*before, planes, *pixels), phi_dtype(self))

        t, h = jnp.zeros(before, phi_dtype(self)), zeros(self.output.shape[1])
        moments = zeros(COLOURS * len(self.betas)), zeros(COLOURS), t
        if not self.memory:
            return moments, (h, h), None
        pairs = no_pairs(jnp.zeros((COLOURS, *pixels), t.dtype), self.memory)
        pairs = jax.tree.map(lambda x: jnp.broadcast_to(x, (*before, *x.shape)), pairs)
        return moments, (h, h), pairs

    def _leaf(self, gradient: Any, state: State, theta: Any) -> tuple[Array, State]:
        gradient = jnp.asarray(gradient)
        x, theta = (jnp.asarray(leaf).astype(phi_dtype(self)) for leaf in (gradient, theta))
        if _is_picture(gradient):
            g, state = self.update_picture(
                jnp.moveaxis(x, -1, 0), state, jnp.moveaxis(theta, -1, 0)
            )
            g = jnp.moveaxis(g, 0, -1)
        else:
            g, state = jax.vmap(self.update_picture)(_grey(x), state, _grey(theta))
            g = g.mean((1, 2, 3)).reshape(x.shape)
        return g.astype(gradient.dtype), state


def _grey(leaf: Array) -> Float[Array, "n 3 1 1"]:
    return jnp.broadcast_to(leaf.reshape(-1, 1, 1, 1), (leaf.size, COLOURS, 1, 1))


def _is_picture(leaf: Any) -> bool:
    return jnp.ndim(leaf) == 3 and jnp.shape(leaf)[-1] == COLOURS


NAMED = {"pictorial": Pictorial}
