"""The direction of L-BFGS: ∇ times an inverse Hessian that the last K steps speak of.

s, y  = θ_t − θ_{t−1}, ∇_t − ∇_{t−1}                                       a pair, of each step
⟨a, b⟩ = Σ_x w_i(x) a_x b_x of each window w_i, which are together 1; of all θ if there is but one
H_j q = q_j + Σ_i w_i ρ_i ⟨s, q⟩ s                                         of the j-th oldest
q_j   = Vᵀ H_{j−1} V q,     V q = q − Σ_i w_i ρ_i ⟨s, q⟩ y,     ρ = 1/⟨s, y⟩
H_0   = P,      or γ without it,     γ = Σ βᵏ ⟨s, y⟩ / Σ βᵏ ⟨y, y⟩ of the pairs k steps ago

One window, and β = 0, are L-BFGS: H_j = Vᵀ H_{j−1} V + ρ s sᵀ and γ is of the last pair. Where θ is
a picture, and what happens in one corner has little to do with another, a pair says something else
in each window. With P another such direction, of smaller windows, one is within the other.

A pair counts only if ⟨s, y⟩ is more than `LEAST` ‖s‖ ‖y‖, so that H is positive definite: one that
does not, over all θ, is not remembered, and in a window it is left out. H ∇ is 0 as long as there
is none. Unlike Optax's `scale_by_lbfgs` this holds the pairs constant in the meta-gradient, where
they would be divided by what is small: ∂(H ∇)/∂∇ is H.

Source: Nocedal and Wright (2006), "Numerical optimization", algorithm 7.4.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LEAST = 1e-2


class Windows(NamedTuple):
    """Where inner products are taken: `gather` sums an array by w_i, and `spread` is its transpose.

    Example:
        Two windows, each of half of θ:

        >>> halves = Windows(lambda x: x.reshape(2, -1).sum(1), lambda c: jnp.repeat(c, 2))
        >>> halves.gather(jnp.arange(4.0)).tolist(), halves.spread(jnp.arange(2.0)).tolist()
        ([1.0, 5.0], [0.0, 0.0, 1.0, 1.0])
    """

    gather: Callable[[Array], Array]
    spread: Callable[[Array], Array]


WHOLE = Windows(jnp.sum, lambda coefficient: coefficient)


class Pairs(NamedTuple):
    """What is remembered: the last θ and ∇, the pairs with the newest last, and how many there are.

    `steps` counts how many θ there were. Places that no pair has taken yet hold zeros.

    Example:
        >>> none = begin(jnp.zeros(2), memory=3)
        >>> none.s.shape, int(none.steps)
        ((3, 2), 0)
    """

    theta: Float[Array, "*n"]
    gradient: Float[Array, "*n"]
    s: Float[Array, "K *n"]
    y: Float[Array, "K *n"]
    steps: Int[Array, ""]


def begin(theta: Float[Array, "*n"], memory: int) -> Pairs:
    """Return room for as many pairs as `memory` says, for θ of this shape and dtype.

    Example:
        >>> begin(jnp.zeros(2), memory=3).y.shape
        (3, 2)
    """
    zeros, none = jnp.zeros_like(theta), jnp.zeros((memory, *theta.shape), theta.dtype)
    return Pairs(zeros, zeros, none, none, jnp.zeros((), jnp.int32))


def remember(pairs: Pairs, theta: Float[Array, "*n"], gradient: Float[Array, "*n"]) -> Pairs:
    """Add the pair of the last step, in place of the oldest.

    Example:
        >>> pairs = remember(begin(jnp.zeros(1), memory=2), jnp.asarray([3.0]), jnp.asarray([6.0]))
        >>> pairs = remember(pairs, jnp.asarray([1.0]), jnp.asarray([2.0]))
        >>> pairs.s.tolist(), pairs.y.tolist()
        ([[0.0], [-2.0]], [[0.0], [-4.0]])
    """
    theta, gradient = jax.lax.stop_gradient((theta, gradient))
    s, y = theta - pairs.theta, gradient - pairs.gradient
    # What is not finite, or has products that are not, compares as False.
    is_sound = jnp.vdot(s, y) > LEAST * jnp.linalg.norm(s) * jnp.linalg.norm(y)
    is_sound = is_sound & (pairs.steps > 0)

    def pushed(old: Array, new: Array) -> Array:
        return jnp.where(is_sound, jnp.concatenate([old[1:], new[None]]), old)

    return Pairs(theta, gradient, pushed(pairs.s, s), pushed(pairs.y, y), pairs.steps + 1)


def gamma(pairs: Pairs, over: Windows = WHOLE, beta: float = 0.0) -> Float[Array, "*n_or_1"]:
    """Return γ, of each coordinate the mean of its windows'; 0 where there is no pair.

    Example:
        Of f(θ) = θ² it is 1 over the second derivative:

        >>> pairs = remember(begin(jnp.zeros(1), memory=2), jnp.asarray([3.0]), jnp.asarray([6.0]))
        >>> pairs = remember(pairs, jnp.asarray([1.0]), jnp.asarray([2.0]))
        >>> float(gamma(pairs))
        0.5
    """
    sy, yy, is_sound = _products(pairs, over)
    ages = jnp.arange(len(sy))[::-1].reshape(-1, *[1] * (sy.ndim - 1))
    weights = jnp.where(is_sound, jnp.asarray(beta, sy.dtype) ** ages, 0.0)
    up, down = jnp.sum(weights * sy, 0), jnp.sum(weights * yy, 0)
    return over.spread(jnp.where(down > 0, up / jnp.where(down > 0, down, 1.0), 0.0))


def direction(
    pairs: Pairs,
    gradient: Float[Array, "*n"],
    P: Callable[[Array], Array] | None = None,
    over: Windows = WHOLE,
) -> Float[Array, "*n"]:
    """Return H ∇: where a step of −H ∇ would be Newton's, as far as the pairs know.

    P says what they do not, and has to be linear, symmetric and positive definite.

    Example:
        Of f(θ) = θ² one pair knows all:

        >>> pairs = remember(begin(jnp.zeros(1), memory=2), jnp.asarray([3.0]), jnp.asarray([6.0]))
        >>> pairs = remember(pairs, jnp.asarray([1.0]), jnp.asarray([2.0]))
        >>> direction(pairs, jnp.asarray([2.0])).tolist()
        [1.0]
    """
    gather, spread = over
    sy, _, is_sound = _products(pairs, over)
    rho = jnp.where(is_sound, 1 / jnp.where(is_sound, sy, 1.0), 0.0)

    def backward(q: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        s, y, rho = pair
        alpha = rho * gather(s * q)
        return q - spread(alpha) * y, alpha

    def forward(r: Array, pair: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        s, y, rho, alpha = pair
        return r + spread(alpha - rho * gather(y * r)) * s, None

    each = pairs.s, pairs.y, rho
    q, alphas = jax.lax.scan(backward, gradient, each, reverse=True)
    r = gamma(pairs, over) * q if P is None else P(q)
    return jax.lax.scan(forward, r, (*each, alphas))[0]


def _products(pairs: Pairs, over: Windows) -> tuple[Array, Array, Array]:
    """Return ⟨s, y⟩ and ⟨y, y⟩ of every pair in every window, and whether the pair counts there."""
    products = jax.vmap(over.gather)
    s, y = pairs.s, pairs.y
    sy, ss, yy = (products(a * b) for a, b in ((s, y), (s, s), (y, y)))
    return sy, yy, sy > LEAST * jnp.sqrt(ss) * jnp.sqrt(yy)
