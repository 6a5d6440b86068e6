"""The interface of estimators of dL/dφ, which go truncated segment by truncated segment.

An episode is T steps on the optimizees that its key stands for. `begin` starts it. `estimate` makes
as many steps as it is given weights, and returns an estimate of the meta-gradient. After that φ may
change.
"""

import fnmatch
from abc import abstractmethod
from dataclasses import replace

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError
from metadescent._tree import path_of
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem

Carry = PyTree


class Estimator(eqx.Module):
    """An estimator of dL/dφ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.meta.estimators.truncated import Truncated
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m, problem, key = LSTM((2,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> bptt = Truncated(problems=3)
        >>> carry = bptt.begin(m, problem, key)
        >>> gradient, carry, losses = bptt.estimate(m, problem, carry, key, jnp.ones(5))
        >>> gradient.output.weight.shape, losses.shape
        ((1, 2), (5, 3))

    Source: section 2, "the gradient estimate ∂L(φ)/∂φ".
    """

    @abstractmethod
    def begin(self, m: LearnedOptimizer, problem: Problem, key: PRNGKeyArray) -> Carry:
        """Return the state that segments carry on, at the start of `key`'s episode."""

    @abstractmethod
    def estimate(
        self,
        m: LearnedOptimizer,
        problem: Problem,
        carry: Carry,
        key: PRNGKeyArray,
        weights: Float[Array, " unroll"],
    ) -> tuple[PyTree, Carry, Float[Array, "unroll problems"]]:
        """Estimate the meta-gradient over the next steps of `key`'s episode.

        Arguments:
            m: the optimizer.
            problem: p(f).
            carry: the state of the episode.
            key: the key that the episode was begun with.
            weights: w_t, one for each step of the segment.

        Returns:
            The gradient, in m's structure with arrays in place of φ and None elsewhere; the carried
            state after these steps; and the losses that the estimator sums up, step by step.
        """

    @property
    def lasts(self) -> bool:
        """Tell whether the carried state goes on through all episodes of an epoch.

        Such an estimator is begun once an epoch. Its weights are all 1, because it has its own.
        """
        return False

    def part(self, parts: int) -> "Estimator":
        """Return the estimator for one of several equal parts of an episode's optimizees.

        The mean of its estimates on all parts is the estimate of this estimator. It is made for a
        `Part` of the problem. The field `problems` says how many optimizees there are.

        Raises:
            UserError: if the optimizees cannot be divided into so many equal parts.
        """
        if parts == 1:
            return self
        # An estimator without that field has one problem, which cannot be divided.
        return replace(self, problems=share(getattr(self, "problems", 1), parts))


def share(problems: int, parts: int) -> int:
    """Return how many of the problems each part has; a UserError if these are not equal."""
    if problems % parts:
        raise UserError(
            f"the {problems} problems of a meta-step are no multiple of the {parts} devices that "
            f"share them; try --problems {parts * -(-problems // parts)}"
        )
    return problems // parts


def chosen(phi: PyTree, leaves: str) -> PyTree:
    """Tell for each leaf of φ whether its path matches `leaves`; a UserError if none does."""
    paths = [path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(phi)]
    which = [fnmatch.fnmatch(path, leaves) for path in paths]
    if not any(which):
        raise UserError(f"no leaf of φ is called {leaves!r}; try one of {', '.join(paths)}")
    return jax.tree.structure(phi).unflatten(which)
