"""What a recipe means: all that a run is computed from, made once and handed on."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._spec import groups_of, links, parse
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import form_for
from metadescent.meta.state import MetaState, initial_state
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.chained import chain
from metadescent.optimizers.partitioned import Partitioned
from metadescent.registry import make_estimator, make_optimizer, make_rule
from metadescent.runs.recipe import Recipe
from metadescent.zoo.cards import read_card
from metadescent.zoo.file import load


@dataclass(frozen=True)
class Plan:
    """What a run is computed from.

    `recipe` is the schedule too; `m` has the φ that training starts from; `form` says how the
    meta-gradient is computed, or names an estimator that has one form; `weights` are w_1 … w_T of
    equation 3; `key` is that of all that the run draws after φ.
    """

    recipe: Recipe
    m: LearnedOptimizer
    estimator: Estimator
    form: str
    meta_optimizer: optax.GradientTransformation
    weights: Float[Array, " steps"]
    key: PRNGKeyArray

    @property
    def initial_state(self) -> MetaState:
        """Return the state before the first epoch, which is the template of its checkpoints."""
        return initial_state(self.m, self.meta_optimizer)

    def meta_rate_at(self, epoch: int) -> float:
        """Return the meta-rate after so many epochs."""
        rate = _meta_rate(self.recipe.meta_rate, self.recipe.decay, self.recipe.updates)
        return float(np.asarray(rate(epoch * self.recipe.updates_per_epoch)))


def plan_of(recipe: Recipe) -> Plan:
    """Return what a recipe means.

    Raises:
        UserError: if its numbers do not fit together, what it names is not there, or its form does
            not suit its optimizer.

    Example:
        >>> plan = plan_of(Recipe(optimizer="lstm(layers=(4,))", steps=4, unroll=2, weigh_from=3))
        >>> plan.form, plan.weights.tolist(), plan.m.layers
        ('two-phase', [0.0, 0.0, 0.0, 1.0], (4,))
    """
    recipe.check_horizon()
    m = initial_optimizer(recipe)
    estimator = make_estimator(recipe.estimator, **recipe.estimator_options)
    return Plan(
        recipe=recipe,
        m=m,
        estimator=estimator,
        form=form_for(m, estimator.form, estimator.second_derivatives, estimator.log)
        if isinstance(estimator, Truncated)
        else parse(recipe.estimator)[0],
        meta_optimizer=_meta_optimizer(recipe.clip, recipe.meta_rate, recipe.decay, recipe.updates),
        weights=(jnp.arange(recipe.steps) >= recipe.weigh_from).astype(float),
        key=jax.random.split(jax.random.key(recipe.seed))[1],
    )


# The same object each time, so that runs alike share their compiled epoch.
@functools.cache
def _meta_optimizer(
    clip: float, meta_rate: float, decay: str, updates: int
) -> optax.GradientTransformation:
    """Return Adam behind a clip."""
    rate = _meta_rate(meta_rate, decay, updates)
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate))


def _meta_rate(meta_rate: float, decay: str, updates: int) -> optax.Schedule:
    """Return a rate that is constant, or half a cosine over the run."""
    if decay == "constant":
        return optax.constant_schedule(meta_rate)
    return optax.cosine_decay_schedule(meta_rate, updates)


def initial_optimizer(recipe: Recipe) -> LearnedOptimizer:
    """Return m with the φ that training starts from: that of `recipe.init`, or a fresh draw.

    What the recipe names may differ from what `recipe.init` holds in options that do not shape φ,
    such as the scale of the output. It may be a partition where `recipe.init` is not: then every
    learned group starts from that φ. It may be a chain where `recipe.init` is not: then its first
    rule starts from that φ, and the others as drawn.

    Raises:
        UserError: if `recipe.init` is no optimizer, or one whose φ does not fit.

    Example:
        The φ of a pretrained optimizer, with updates half as long:

        >>> recipe = Recipe(optimizer="lstm(scale=0.05)", init="mnist-lstm")
        >>> m, before = initial_optimizer(recipe), zoo.load("mnist-lstm")
        >>> m.scale, before.scale, bool((m.output.weight == before.output.weight).all())
        (0.05, 0.1, True)
    """
    key = jax.random.split(jax.random.key(recipe.seed))[0]
    if not recipe.init:
        return make_optimizer(recipe.optimizer, key)
    path = zoo.path(recipe.init)
    spec = read_card(path)["optimizer"]

    def load_as(wanted: str) -> LearnedOptimizer:
        first, *others = links(wanted)
        if others and ">>" not in spec:
            keys = jax.random.split(key, 1 + len(others))[1:]
            drawn = (make_rule(rule, k) for rule, k in zip(others, keys, strict=True))
            return chain([load_as(first), *drawn])
        if spec == wanted:
            return load(path)
        try:
            return load(path, make=lambda _, key: make_optimizer(wanted, key))
        except UserError as error:
            raise UserError(
                f"{recipe.init} holds the optimizer {spec}, whose φ does not fit the recipe's "
                f'{wanted}; try --optimizer "{spec}"'
            ) from error

    if "->" in spec or "->" not in recipe.optimizer:
        return load_as(recipe.optimizer)
    return Partitioned(
        [
            (takes, make_rule(rule, key) if rule.startswith("optax.") else load_as(rule))
            for takes, rule in groups_of(recipe.optimizer)
        ]
    )
