"""The direction of L-BFGS: ∇ times an inverse Hessian that the last K steps speak of.

s, y = θ_t − θ_{t−1}, ∇_t − ∇_{t−1}                                        a pair, of each step
H_0  = γ P,     γ = ⟨s, y⟩ / ⟨y, y⟩ of the last pair,     P = I unless given
H_j  = (I − ρ s yᵀ) H_{j−1} (I − ρ y sᵀ) + ρ s sᵀ,     ρ = 1/⟨s, y⟩        of the j-th oldest

A pair is remembered only if ⟨s, y⟩ is more than `LEAST` ‖s‖ ‖y‖, so that H is positive definite,
and H ∇ is 0 as long as there is none. Unlike Optax's `scale_by_lbfgs` this holds the pairs constant
in the meta-gradient, where they would be divided by what is small: ∂(H ∇)/∂∇ is H.

Source: Nocedal and Wright (2006), "Numerical optimization", algorithm 7.4.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LEAST = 1e-4


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


def direction(
    pairs: Pairs,
    gradient: Float[Array, "*n"],
    P: Callable[[Array], Array] = lambda q: q,
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
    curvature = jax.vmap(jnp.vdot)(pairs.s, pairs.y)
    rho = jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 0.0)

    def backward(q: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        s, y, rho = pair
        alpha = rho * jnp.vdot(s, q)
        return q - alpha * y, alpha

    def forward(r: Array, pair: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        s, y, rho, alpha = pair
        return r + (alpha - rho * jnp.vdot(y, r)) * s, None

    each = pairs.s, pairs.y, rho
    q, alphas = jax.lax.scan(backward, gradient, each, reverse=True)
    size = jnp.vdot(pairs.y[-1], pairs.y[-1])
    gamma = jnp.where(size > 0, curvature[-1] / jnp.where(size > 0, size, 1), 0.0)
    return jax.lax.scan(forward, gamma * P(q), (*each, alphas))[0]
