"""m and φ: a learned optimizer, as an object and as an Optax transformation.

    (g_t, h_{t+1}) = m(∇_t, h_t, φ)

A `LearnedOptimizer` is an Equinox module whose arrays *are* φ. Its two methods have Optax's own
signatures, so whatever runs a learned optimizer also runs `optax.adam`, and the other way round.
"""

import sys
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from metadescent.optimizers.blockwise import pull_back_blockwise
from metadescent.optimizers.door import guarded_init, guarded_update
from metadescent.optimizers.sharding import spread_like

State = PyTree
Updates = PyTree


class LearnedOptimizer(eqx.Module):
    """m with its parameters φ: the interface.

    Every array in a subclass's fields is a part of φ, so differentiating with respect to the module
    is differentiating with respect to φ; what is not learned is a static field.

    Raises:
        UserError: from `update`, if a leaf of the state is not as `init` makes it for θ of the
            gradient's shapes, or if θ has other shapes; from `init` and `update`, if a leaf is
            complex, unless the class sets `takes_complex`.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> class Normalized(LearnedOptimizer):
        ...     log_rate: jax.Array  # φ
        ...     def init(self, params):
        ...         return ()
        ...     def update(self, updates, state, params=None, **extra_args):
        ...         factor = -jnp.exp(self.log_rate) / optax.global_norm(updates)
        ...         return jax.tree.map(lambda gradient: factor * gradient, updates), state
        >>> m, theta = Normalized(jnp.zeros(())), jnp.zeros(2)
        >>> m.update(jnp.asarray([3.0, 4.0]), m.init(theta), theta)[0].tolist()
        [-0.60, -0.80]

    Source: equation 3, for (g_t, h_{t+1}) = m(∇_t, h_t, φ).
    """

    takes_complex: ClassVar[bool] = False
    """Whether θ may be complex; rules in φ's dtype would drop its imaginary part."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # `init` and `update` are wrapped in the checks of `door`, whatever calls them.
        for name, guarded in (("init", guarded_init), ("update", guarded_update)):
            if name in vars(cls):
                setattr(cls, name, guarded(vars(cls)[name]))

    @abstractmethod
    def init(self, params: PyTree) -> State:
        """Return h₀ for parameters θ of this structure."""

    @abstractmethod
    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        """Map gradients ∇_t and state h_t to updates g_t (to be *added* to θ) and h_{t+1}."""

    def as_optax(self) -> optax.GradientTransformationExtraArgs:
        """Return the optimizer as an Optax transformation, to use like `optax.adam(…)`."""

        def update(
            updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
        ) -> tuple[Updates, State]:
            g, h = self.update(_plain(updates), state, _plain(params), **extra_args)
            # Updates are returned in the containers that the gradients came in.
            return jax.tree.structure(updates).unflatten(jax.tree.leaves(g)), h

        return optax.GradientTransformationExtraArgs(
            lambda params: self.init(_plain(params)), update
        )

    def threshold(self) -> float:
        """Return the size below which a gradient is disregarded, e^−p in appendix A; 0 if none."""
        return 0.0

    def over_batch(self) -> "LearnedOptimizer":
        """Return the rule for a `Batch` of optimizees, whose θ leaves have a leading batch axis."""
        return OverBatch(self)


def _plain(tree: PyTree) -> PyTree:
    """Return a pytree as it is, and a Flax NNX `State` as dictionaries."""
    # Flax gives `init` a state whose leaves are wrapped, and `update` one whose leaves are not.
    # A program that has not imported Flax has no such state.
    nnx = sys.modules.get("flax.nnx")
    return nnx.to_pure_dict(tree) if nnx and isinstance(tree, nnx.State) else tree


class OverBatch(LearnedOptimizer):
    """Any Optax-like rule, applied to each optimizee of a `Batch` with a state of its own."""

    rule: Any
    takes_complex: ClassVar[bool] = True  # the rule decides

    def init(self, params: PyTree) -> State:
        return jax.vmap(self.rule.init)(params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        # `vmap` takes no None.
        if params is None:
            return jax.vmap(lambda g, h: self.rule.update(g, h, **extra_args))(updates, state)
        return jax.vmap(lambda g, h, p: self.rule.update(g, h, p, **extra_args))(
            updates, state, params
        )


class Coordinatewise(LearnedOptimizer):
    """One rule for every coordinate: shared φ, separate state (section 2.1).

    A subclass defines the update of a row of n coordinates; `init` and `update` apply it to all
    coordinates of all leaves. If θ has a leaf of shape s, h has one coordinate's state with s
    appended to every shape. Features come first, so that the arithmetic runs over long rows.

    State and arithmetic have φ's dtype; updates are returned in the gradient's dtype.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> class Momentum(Coordinatewise):
        ...     rate: jax.Array  # φ, as is the next
        ...     decay: jax.Array
        ...     def init_coordinate(self):
        ...         return jnp.zeros(())
        ...     def update_coordinates(self, gradient, state):
        ...         state = self.decay * state + gradient
        ...         return -self.rate * state, state
        >>> m, theta = Momentum(jnp.asarray(0.5), jnp.asarray(0.9)), {"w": jnp.ones((2, 3))}
        >>> g, h = m.update(theta, m.init(theta))
        >>> g["w"].shape, float(g["w"][0, 0])
        ((2, 3), -0.5)

    Source: section 2.1.
    """

    @abstractmethod
    def init_coordinate(self) -> PyTree[Array]:
        """Return h₀ of one coordinate."""

    @abstractmethod
    def update_coordinates(
        self, gradient: Float[Array, " n"], state: PyTree[Array]
    ) -> tuple[Float[Array, " n"], PyTree[Array]]:
        """Map ∇ and h of n coordinates to their g and next h, each independent of the others.

        Leaves of the state are those of `init_coordinate` with an axis of length n appended.
        """

    def pull_back(
        self, state: PyTree[Array], inputs: Float[Array, "T n"], cotangents: Float[Array, "T n"]
    ) -> "Coordinatewise":
        """Return Σ_t ⟨λ_t, ∂g_t/∂φ⟩ for n coordinates that start at h and are fed ∇_0 … ∇_{T−1}.

        A rule may override this where it can do better than automatic differentiation.
        """
        return pull_back_blockwise(type(self).update_coordinates, self, state, inputs, cotangents)

    def init(self, params: PyTree) -> State:
        h = self.init_coordinate()
        return jax.tree.map(lambda leaf: jax.tree.map(lambda x: spread_like(x, leaf), h), params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        del params, extra_args
        gradients, treedef = jax.tree.flatten(updates)
        moved = [
            self._update_leaf(gradient, h)
            for gradient, h in zip(gradients, treedef.flatten_up_to(state), strict=True)
        ]
        return treedef.unflatten(g for g, _ in moved), treedef.unflatten(h for _, h in moved)

    def _update_leaf(self, gradient: Array, state: PyTree[Array]) -> tuple[Array, PyTree[Array]]:
        g, state = self.update_array(jnp.asarray(gradient).astype(phi_dtype(self)), state)
        return g.astype(jnp.result_type(gradient)), state

    def update_array(
        self, gradient: Float[Array, "*shape"], state: PyTree[Array]
    ) -> tuple[Float[Array, "*shape"], PyTree[Array]]:
        """Update one leaf of θ in its own shape; rules that do not need rows override this."""
        rows = self.ravel_state(gradient, state)
        g, rows = self.update_coordinates(gradient.reshape(-1), rows)
        return g.reshape(gradient.shape), self.unravel_state(gradient, rows)

    def ravel_state(self, params: PyTree, state: State) -> PyTree[Array]:
        """Return h with all coordinates of all leaves of θ in one last axis, in θ's order."""
        # The first `ndims` axes are features, and the rest are the leaf's own.
        ndims = jax.tree.map(jnp.ndim, self.init_coordinate())
        states = jax.tree.structure(params).flatten_up_to(state)

        def join(ndim: int, *parts: Array) -> Array:
            rows = [part.reshape((*part.shape[:ndim], -1)) for part in parts]
            # A single leaf is not copied.
            return jnp.concatenate(rows, axis=-1) if len(rows) > 1 else rows[0]

        return jax.tree.map(join, ndims, *states)

    def unravel_state(self, params: PyTree, rows: PyTree[Array]) -> State:
        """Undo `ravel_state`."""
        leaves, treedef = jax.tree.flatten(params)
        ends = np.cumsum([np.size(leaf) for leaf in leaves])

        def part(leaf: Array, end: int) -> PyTree[Array]:
            cut = slice(end - jnp.size(leaf), end)
            return jax.tree.map(
                lambda x: x[..., cut].reshape((*x.shape[:-1], *jnp.shape(leaf))), rows
            )

        return treedef.unflatten(map(part, leaves, ends.tolist()))

    def over_batch(self) -> "LearnedOptimizer":
        # B optimizees of N coordinates are B·N coordinates.
        return self


class Elementwise(Coordinatewise):
    """A rule that needs no row: a subclass defines `update_array`, for coordinates in any shape."""

    def update_coordinates(
        self, gradient: Float[Array, " n"], state: PyTree[Array]
    ) -> tuple[Float[Array, " n"], PyTree[Array]]:
        return self.update_array(gradient, state)

    @abstractmethod
    def update_array(
        self, gradient: Float[Array, "*shape"], state: PyTree[Array]
    ) -> tuple[Float[Array, "*shape"], PyTree[Array]]:
        """Map ∇ and h of one leaf of θ, in its own shape, to their g and next h."""


def phi_dtype(m: LearnedOptimizer) -> np.dtype:
    """Return the dtype of φ, in which a rule computes."""
    return jnp.result_type(*jax.tree.leaves(eqx.filter(m, eqx.is_inexact_array)))
