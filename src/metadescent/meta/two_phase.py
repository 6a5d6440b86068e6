"""The meta-gradient in two phases, for a coordinatewise rule to first order.

With ∂∇_t/∂φ dropped, θ_T = θ_0 + Σ g_t makes the cotangent of g_t a suffix sum of gradients that
the forward pass has computed already:

    λ_t = Σ_{s>t} w_s ∇_s,        dL/dφ = Σ_t ⟨λ_t, ∂g_t/∂φ⟩.

Phase one (`record`) unrolls forward and keeps only ∇_t. Phase two (`meta_gradient`) runs the rule
over the recorded ∇_t once more, and back (`Coordinatewise.pull_back`). Inputs and cotangents are
then known, and no coordinate depends on another. Phase two therefore goes block by block, in a
working set that fits the cache, with memory of T floats a coordinate. It may also take a random
sample of coordinates only. The groups of a `Partitioned` optimizer are taken in turn.
"""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.descent.unrolling import Trajectory, Update, exact, walk
from metadescent.optimizers.base import Coordinatewise, LearnedOptimizer, phi_dtype
from metadescent.optimizers.partitioned import Partitioned
from metadescent.problems.base import Optimizee, Theta


def has_phi(rule: LearnedOptimizer) -> bool:
    """Tell whether there is anything to learn in a rule."""
    return bool(jax.tree.leaves(eqx.filter(rule, eqx.is_inexact_array)))


def suits(m: object) -> bool:
    """Tell whether the meta-gradient of m can be computed in two phases."""
    if isinstance(m, Partitioned):
        return all(isinstance(rule, Coordinatewise) for rule in m.rules if has_phi(rule))
    return isinstance(m, Coordinatewise)


def record(
    m: LearnedOptimizer, f: Optimizee, trajectory: Trajectory, key: PRNGKeyArray, *, num_steps: int
) -> tuple[Trajectory, Float[Array, "num_steps ..."], Theta]:
    """Phase one: unroll as `unroll` does, and return ∇_0 … ∇_{num_steps} too, time first."""
    update = m.update
    if isinstance(m, Coordinatewise):
        rows = m.ravel_state(trajectory.theta, trajectory.state)
        trajectory, update = trajectory._replace(state=rows), _update_of_row(m)
    trajectory, seen = walk(
        update,
        f,
        trajectory,
        key,
        num_steps=num_steps,
        observe=lambda step: (step.loss, step.gradient),
    )
    last = exact(f, trajectory.theta, jax.random.fold_in(key, trajectory.step))
    losses, gradients = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), seen, last)
    if isinstance(m, Coordinatewise):
        state = m.unravel_state(trajectory.theta, trajectory.state)
        trajectory = trajectory._replace(state=state)
    return trajectory, losses[1:], gradients


def _update_of_row(m: Coordinatewise) -> Update:
    """Return m's update of all coordinates of all leaves as one row, whose h is in rows too."""

    def update(gradient: Theta, rows: PyTree, theta: Theta) -> tuple[Theta, PyTree]:
        del theta
        row, unravel = ravel_pytree(gradient)
        # The row is in φ's dtype, as in `Coordinatewise.update`; θ may have another dtype.
        g, rows = m.update_coordinates(row.astype(phi_dtype(m)), rows)
        return unravel(g.astype(row.dtype)), rows

    return update


def meta_gradient(
    m: LearnedOptimizer,
    state: PyTree[Array],
    gradients: Theta,
    weights: Float[Array, "num_steps *batch"],
    *,
    num_coordinates: int | None = None,
    key: PRNGKeyArray | None = None,
) -> PyTree:
    """Phase two: return d/dφ Σ_t w_t f(θ_t), summed over a batch; each f may have its own w_t.

    With `num_coordinates` and `key` it is estimated from that many coordinates, which are drawn in
    proportion to Σ_t |λ_t| and weighted by the inverse. The estimate is unbiased, at a fraction of
    the cost.
    """
    if isinstance(m, Coordinatewise):
        return _of_one(m, state, gradients, weights, num_coordinates, key)
    m = cast(Partitioned, m)
    # The group that takes a leaf does not change with time.
    labels = m.labels(jax.tree.map(lambda x: x[0], gradients))
    groups = zip(m.rules, m.states(state), m.shares(gradients, labels), strict=True)
    if num_coordinates is not None:
        # The groups that learn have equal shares.
        num_coordinates = max(1, num_coordinates // sum(map(has_phi, m.rules)))
    rule_gradients: list[PyTree] = []
    for n, (rule, h, part) in enumerate(groups):
        if isinstance(rule, Coordinatewise) and jax.tree.leaves(part):
            own = None if key is None else jax.random.fold_in(key, n)
            rule_gradients.append(_of_one(rule, h, part, weights, num_coordinates, own))
        else:
            # No φ, or no leaf of θ: its gradient is 0.
            rule_gradients.append(jax.tree.map(jnp.zeros_like, rule))
    return eqx.tree_at(lambda m: m.rules, m, tuple(rule_gradients))


def _of_one(
    m: Coordinatewise,
    state: PyTree[Array],
    gradients: Theta,
    weights: Float[Array, "num_steps *batch"],
    num_coordinates: int | None,
    key: PRNGKeyArray | None,
) -> Coordinatewise:
    first = jax.tree.map(lambda x: x[0], gradients)
    in_rows = jax.vmap(lambda tree: ravel_pytree(tree)[0])
    inputs = in_rows(gradients)
    weighted = jax.tree.map(
        lambda x: jnp.expand_dims(weights, range(weights.ndim, x.ndim)) * x[1:], gradients
    )
    cotangents = jnp.cumsum(in_rows(weighted)[::-1], axis=0)[::-1]
    rows = m.ravel_state(first, state)
    # ∇_T has no update after it. Inputs and cotangents have the dtype that the rule has seen.
    inputs, cotangents = (x.astype(phi_dtype(m)) for x in (inputs[:-1], cotangents))
    if num_coordinates is not None and key is not None and num_coordinates < inputs.shape[1]:
        chosen, inverse = _sample(jnp.abs(cotangents).sum(0), num_coordinates, key)
        inputs, cotangents = inputs[:, chosen], cotangents[:, chosen] * inverse
        rows = jax.tree.map(lambda x: x[..., chosen], rows)
    return m.pull_back(rows, inputs, cotangents)


def _sample(
    importance: Float[Array, " n"], count: int, key: PRNGKeyArray
) -> tuple[Array, Float[Array, " count"]]:
    """Draw `count` coordinates by systematic sampling; return them and 1 / (count · p)."""
    # A little of the uniform distribution keeps every weight bounded.
    p = 0.9 * importance / jnp.maximum(importance.sum(), 1e-30) + 0.1 / importance.size
    cumulative = jnp.cumsum(p / p.sum())
    # One draw moves a comb of evenly spaced points, which has less variance than `count` draws.
    points = (jnp.arange(count) + jax.random.uniform(key)) / count
    # Rounding may bring a point past the end.
    chosen = jnp.searchsorted(cumulative, points * cumulative[-1]).clip(0, importance.size - 1)
    return chosen, 1.0 / (count * p[chosen])
