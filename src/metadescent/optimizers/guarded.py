"""A guard around a rule: steps that are not finite or far too long are replaced, and counted.

    s = √(mean θ² + 1/n)                      the size of a tensor; n is its longest axis
    ∇ is not finite anywhere                  g = 0, and h stays
    g or h′ is not finite anywhere            g = −a s sign ∇, and h begins anew
    √(mean g²) > limit · s in a tensor        g = −a s sign ∇ in that tensor
    otherwise                                 g and h′ as the rule says

    a = rate / √(1 + r/100),    r = the steps of the tensor that were replaced before

n is 1 for tensors of one axis or none. 1/√n is about the size that weights begin with, in whatever
order their axes are, and it gives tensors of zeros a size too. Numbers that are not finite concern
all tensors, because tensors may share h. A step that is too long concerns its own tensor alone: h
depends on gradients, and those were not wrong. The safe step needs no state, and does not depend on
the scale of f. Its length falls with each use, so that it does not wander about for ever.

Source: the safe step is that of Bernstein et al. (2018), "signSGD: compressed optimisation for
non-convex problems", in units of a tensor's size. A guard that falls back to a rule designed by
hand is from Prémont-Schwarz et al. (2022), "A simple guard for learned optimizers".
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from metadescent._errors import UserError, require, require_kind
from metadescent.optimizers.base import LearnedOptimizer, State, Updates
from metadescent.optimizers.guard_constants import LIMIT, RATE, TAU


class GuardState(NamedTuple):
    """h of the rule, the steps of each tensor that were replaced, and the steps that were 0."""

    rule: State
    replaced: PyTree[Int[Array, ""]]
    not_finite: Int[Array, ""]


class Guarded(LearnedOptimizer):
    """A rule whose steps are checked before they are made: finite, and not far too long.

    Arguments:
        rule: the optimizer m: everything before `guard` in `lstm >> guard`.
        limit: the longest step, as a part of a tensor's size.
        rate: the length of the safe step, as a part of a tensor's size.

    Raises:
        UserError: if `rule` is not a learned optimizer, or a number is out of range; on use, if θ
            is not given.

    Example:
        >>> import jax.numpy as jnp
        >>> import metadescent
        >>> m = Guarded(metadescent.load("mnist-lstm"))
        >>> theta, state = jnp.ones(3), m.init(jnp.ones(3))
        >>> g, state = m.update(jnp.asarray([1.0, jnp.nan, 1.0]), state, theta)
        >>> g.tolist(), int(state.replaced), int(state.not_finite)
        ([0.0, 0.0, 0.0], 0, 1)
    """

    rule: LearnedOptimizer
    limit: float = eqx.field(static=True)
    rate: float = eqx.field(static=True)

    def __init__(self, rule: LearnedOptimizer, limit: float = LIMIT, rate: float = RATE):
        require_kind("rule", rule, LearnedOptimizer, "a learned optimizer; try metadescent.load")
        require("limit", limit, 1e-12)
        require("rate", rate, 1e-12)
        self.rule, self.limit, self.rate = rule, limit, rate

    def init(self, params: PyTree) -> GuardState:
        none = jnp.zeros((), jnp.int32)
        return GuardState(self.rule.init(params), jax.tree.map(lambda _: none, params), none)

    def update(
        self, updates: Updates, state: GuardState, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, GuardState]:
        if params is None:
            raise UserError("guard measures steps by θ and was given none; pass params")
        return _moved(self, updates, state, params, extra_args)

    def of_tensor(
        self,
        gradient: Float[Array, "*n"],
        g: Float[Array, "*n"],
        theta: Float[Array, "*n"],
        replaced: Int[Array, ""],
        is_sound: Bool[Array, ""],
    ) -> tuple[Float[Array, "*n"], Int[Array, ""]]:
        """Return the step of one tensor, and how many of its steps have been replaced."""
        n = max(*jnp.shape(g), 1) if jnp.ndim(g) > 1 else 1
        size = jnp.sqrt(_mean_square(theta) + 1 / n)
        # The comparison is False for NaN.
        is_fit = is_sound & (jnp.sqrt(_mean_square(g)) <= self.limit * size)
        length = self.rate * size * jax.lax.rsqrt(1 + replaced / TAU)
        safe = (-length * jnp.sign(gradient)).astype(jnp.result_type(g))
        return jnp.where(is_fit, g, safe), replaced + ~is_fit

    def threshold(self) -> float:
        return self.rule.threshold()


@eqx.filter_jit
def _moved(
    m: Guarded, updates: Updates, state: GuardState, params: PyTree, extra_args: dict[str, Any]
) -> tuple[Updates, GuardState]:
    """Return a step; compiled, because JAX would otherwise compile the branches at each step."""
    is_finite = are_finite(updates)
    zeros = jax.tree.map(jnp.zeros_like, updates)
    # Under `vmap` both branches run, and a NaN would reach derivatives of the one not chosen.
    gradients = jax.tree.map(lambda x, zero: jnp.where(is_finite, x, zero), updates, zeros)
    # The branch is the rule alone, so it is the same program with the same bits as without a guard.
    g, h = jax.lax.cond(
        is_finite,
        lambda: m.rule.update(gradients, state.rule, params, **extra_args),
        lambda: (zeros, state.rule),
    )
    is_sound = are_finite((g, h))
    leaves, treedef = jax.tree.flatten(gradients)
    rows = zip(leaves, *map(treedef.flatten_up_to, (g, params, state.replaced)), strict=True)
    moved = [m.of_tensor(x, g, theta, r, is_sound) for x, g, theta, r in rows]
    pairs = zip(jax.tree.leaves(h), jax.tree.leaves(m.rule.init(params)), strict=True)
    h = [jnp.where(is_sound, x, begun.astype(x.dtype)) for x, begun in pairs]
    return treedef.unflatten(x for x, _ in moved), GuardState(
        jax.tree.structure(state.rule).unflatten(h),
        treedef.unflatten(count for _, count in moved),
        state.not_finite + ~is_finite,
    )


def are_finite(tree: PyTree) -> Bool[Array, ""]:
    """Return whether all numbers of all leaves are finite."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
    # 0 times a number that is not finite is NaN; a sum takes half the time of `isfinite` of each.
    sums = [jnp.isfinite(jnp.sum(0 * x)) for x in leaves]
    # XLA would compute a conjunction again wherever it is used, but not a branch.
    both = jnp.stack([jnp.asarray(True), *sums]).all()
    return jax.lax.cond(both, lambda: True, lambda: False)


def _mean_square(x: Float[Array, "*n"]) -> Float[Array, ""]:
    """Return the mean of x² in float32 at least; without coordinates it is 0."""
    x = jnp.asarray(x)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.sum(x * x) / max(math.prod(x.shape), 1)
