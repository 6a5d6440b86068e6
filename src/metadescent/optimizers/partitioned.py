"""Several rules for one θ: each leaf goes to the first group that takes it (section 3.3).

    g = (m_1(∇ of group 1), …, m_k(∇ of group k)),        φ = (φ_1, …, φ_k)

For convolutional networks the paper has two LSTMs, one for the convolutional layers and one for the
fully connected ones. A group may have any optimizer, learned or designed by hand; gradients of the
meta-loss reach the φ of every group.
"""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from metadescent._errors import UserError
from metadescent._tree import path_of
from metadescent.optimizers.base import LearnedOptimizer, State, Updates

Takes = str | Callable[[str, tuple[int, ...]], bool]


class ByHand(LearnedOptimizer):
    """An Optax optimizer as a learned optimizer without φ."""

    rule: optax.GradientTransformation = eqx.field(static=True)
    spec: str | None = eqx.field(static=True, default=None)  # "optax.sgd(…)", where known
    takes_complex: ClassVar[bool] = True

    def init(self, params: PyTree) -> State:
        return self.rule.init(params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        return optax.with_extra_args_support(self.rule).update(updates, state, params, **extra_args)


class Partitioned(LearnedOptimizer):
    """One optimizer for each group of leaves.

    Arguments:
        groups: pairs of a group's leaves and its optimizer. The leaves are given by a pattern for
            their paths, such as "conv/*", with the wildcards of a shell, or by a function of path
            and shape. A leaf goes to the first group that takes it; "*" takes all that are left.
        batched: whether θ's leaves have an axis before those of their shape, as in a `Batch`.

    Raises:
        UserError: on use, if no group takes a leaf.

    Source: section 3.3.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from metadescent import LSTM
        >>> m = Partitioned([("conv/*", LSTM(key=jax.random.key(0))), ("*", optax.sgd(0.5))])
        >>> theta = {"conv": [{"w": jnp.ones((5, 5, 3, 2))}], "out": jnp.ones(2)}
        >>> m.labels(theta)
        {'conv': [{'w': '0'}], 'out': '1'}
        >>> m.update(theta, m.init(theta), theta)[0]["out"].tolist()
        [-0.5, -0.5]
    """

    rules: tuple[LearnedOptimizer, ...]
    takes: tuple[Takes, ...] = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    takes_complex: ClassVar[bool] = True  # the rule of a group decides

    def __init__(
        self,
        groups: Sequence[tuple[Takes, LearnedOptimizer | optax.GradientTransformation]],
        batched: bool = False,
    ):
        if not groups:
            raise UserError('there is no group; give one or more, such as ("*", optimizer)')
        self.takes = tuple(takes for takes, _ in groups)
        self.rules = tuple(
            rule if isinstance(rule, LearnedOptimizer) else ByHand(rule) for _, rule in groups
        )
        self.batched = batched

    def labels(self, theta: PyTree) -> PyTree[str]:
        """Return, for each leaf, the number of the group that it goes to, as a text."""

        def label(keys: tuple[Any, ...], leaf: Any) -> str:
            path, shape = path_of(keys), jnp.shape(leaf)[self.batched :]
            for number, takes in enumerate(self.takes):
                if fnmatch.fnmatch(path, takes) if isinstance(takes, str) else takes(path, shape):
                    return str(number)
            raise UserError(
                f"no group takes the leaf {path} of shape {shape}; try a last group that takes *"
            )

        return jax.tree_util.tree_map_with_path(label, theta)

    def init(self, params: PyTree) -> State:
        return self._partition().init(params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        return self._partition().update(updates, state, params, **extra_args)

    def over_batch(self) -> "Partitioned":
        rules = [rule.over_batch() for rule in self.rules]
        return Partitioned(list(zip(self.takes, rules, strict=True)), batched=True)

    def threshold(self) -> float:
        return max(rule.threshold() for rule in self.rules)

    def shares(self, tree: PyTree, labels: PyTree[str]) -> list[PyTree]:
        """Return, for each group, a tree with its own leaves alone."""
        masked = optax.MaskedNode()
        return [
            jax.tree.map(lambda x, group, name=name: x if group == name else masked, tree, labels)
            for name in self._names()
        ]

    def states(self, state: State) -> list[State]:
        """Return, for each group, the state of its optimizer."""
        return [state.inner_states[n].inner_state for n in self._names()]

    def _names(self) -> list[str]:
        return [str(n) for n in range(len(self.rules))]

    def _partition(self) -> optax.GradientTransformationExtraArgs:
        # Groups have names, because JAX would trace numbers in the labels.
        rules = (rule.as_optax() for rule in self.rules)
        return optax.partition(dict(zip(self._names(), rules, strict=True)), self.labels)
