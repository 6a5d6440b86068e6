"""The direction of L-BFGS: ∇ times an inverse Hessian that is estimated from the last K steps.

s, y  = θ_t − θ_{t−1}, ∇_t − ∇_{t−1}                                       a pair, of each step
⟨a, b⟩ = Σ_x w_i(x) a_x b_x of each window w_i, which are together 1; of all θ if there is but one
H_j q = q_j + Σ_i w_i ρ_i ⟨s, q⟩ s                                         of the j-th oldest
q_j   = Vᵀ H_{j−1} V q,     V q = q − Σ_i w_i ρ_i ⟨s, q⟩ y,     ρ = 1/⟨s, y⟩
H_0   = P,      or γ without it,     γ = Σ βᵏ ⟨s, y⟩ / Σ βᵏ ⟨y, y⟩ of the pairs k steps ago

With one window, and β = 0, this is L-BFGS: H_j = Vᵀ H_{j−1} V + ρ s sᵀ and γ is of the last pair.
If θ is a picture, one corner has little to do with another, and a pair has another curvature in
each window. If P is such a direction too, with smaller windows, one L-BFGS is inside another. H ∇
is 0 as long as there is no pair.

Source: Nocedal and Wright (2006), "Numerical optimization", algorithm 7.4.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# A pair counts only if ⟨s, y⟩ is more than this times ‖s‖ ‖y‖, so that H is positive definite. A
# pair that does not count over all θ is not remembered; in a window it is left out.
LEAST = 1e-2


class Windows(NamedTuple):
    """Where inner products are taken: `gather` sums an array by w_i; `spread` is its transpose."""

    gather: Callable[[Array], Array]
    spread: Callable[[Array], Array]


WHOLE = Windows(jnp.sum, lambda coefficient: coefficient)


class CurvaturePairs(NamedTuple):
    """The memory of the run: the last θ and ∇, and the pairs with the newest last."""

    theta: Float[Array, "*n"]
    gradient: Float[Array, "*n"]
    s: Float[Array, "K *n"]  # 0 where there is no pair yet
    y: Float[Array, "K *n"]
    steps: Int[Array, ""]  # how many θ have been seen


def no_pairs(theta: Float[Array, "*n"], memory: int) -> CurvaturePairs:
    """Return a memory for up to `memory` pairs, without any, for θ of this shape and dtype."""
    zeros, none = jnp.zeros_like(theta), jnp.zeros((memory, *theta.shape), theta.dtype)
    return CurvaturePairs(zeros, zeros, none, none, jnp.zeros((), jnp.int32))


def remember(
    pairs: CurvaturePairs,
    theta: Float[Array, "*n"],
    gradient: Float[Array, "*n"],
    least: float = LEAST,
) -> CurvaturePairs:
    """Add the pair of the last step, in place of the oldest."""
    # Unlike Optax's `scale_by_lbfgs` this holds pairs constant in the meta-gradient, so that ∂(H
    # ∇)/∂∇ is H. The derivatives of pairs would be divided by small numbers.
    theta, gradient = jax.lax.stop_gradient((theta, gradient))
    s, y = theta - pairs.theta, gradient - pairs.gradient
    # The comparison is False if a vector or a product is not finite.
    is_sound = jnp.vdot(s, y) > least * jnp.linalg.norm(s) * jnp.linalg.norm(y)
    is_sound = is_sound & (pairs.steps > 0)

    def pushed(old: Array, new: Array) -> Array:
        return jnp.where(is_sound, jnp.concatenate([old[1:], new[None]]), old)

    return CurvaturePairs(theta, gradient, pushed(pairs.s, s), pushed(pairs.y, y), pairs.steps + 1)


def gamma(
    pairs: CurvaturePairs, over: Windows = WHOLE, beta: float = 0.0, least: float = LEAST
) -> Float[Array, "*n_or_1"]:
    """Return γ: for each coordinate the mean of its windows' γ; 0 if there is no pair."""
    sy, yy, is_sound = _products(pairs, over, least)
    ages = jnp.arange(len(sy))[::-1].reshape(-1, *[1] * (sy.ndim - 1))
    weights = jnp.where(is_sound, jnp.asarray(beta, sy.dtype) ** ages, 0.0)
    up, down = jnp.sum(weights * sy, 0), jnp.sum(weights * yy, 0)
    return over.spread(jnp.where(down > 0, up / jnp.where(down > 0, down, 1.0), 0.0))


def direction(
    pairs: CurvaturePairs,
    gradient: Float[Array, "*n"],
    P: Callable[[Array], Array] | None = None,
    over: Windows = WHOLE,
    least: float = LEAST,
) -> Float[Array, "*n"]:
    """Return H ∇ of pairs and a P that is linear, symmetric and positive definite."""
    gather, spread = over
    sy, _, is_sound = _products(pairs, over, least)
    # The inner `where` avoids a division by products that do not count.
    rho = jnp.where(is_sound, 1 / jnp.where(is_sound, sy, 1.0), 0.0)

    def backward(q: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        s, y, rho = pair
        alpha = rho * gather(s * q)
        return q - spread(alpha) * y, alpha

    def forward(r: Array, pair: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        s, y, rho, alpha = pair
        return r + spread(alpha - rho * gather(y * r)) * s, None

    # The two loops of algorithm 7.4: from the newest pair to the oldest, and back.
    each = pairs.s, pairs.y, rho
    q, alphas = jax.lax.scan(backward, gradient, each, reverse=True)
    r = gamma(pairs, over, least=least) * q if P is None else P(q)
    return jax.lax.scan(forward, r, (*each, alphas))[0]


def _products(pairs: CurvaturePairs, over: Windows, least: float) -> tuple[Array, Array, Array]:
    """Return ⟨s, y⟩ and ⟨y, y⟩ of every pair in every window, and whether the pair counts there."""
    products = jax.vmap(over.gather)
    s, y = pairs.s, pairs.y
    # A pair of zeros does not count: 0 is not more than 0.
    sy, ss, yy = (products(a * b) for a, b in ((s, y), (s, s), (y, y)))
    return sy, yy, sy > least * jnp.sqrt(ss) * jnp.sqrt(yy)
