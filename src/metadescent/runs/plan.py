"""The meaning of a recipe: everything that a run is computed from, made once and handed on."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._spec import Call, Chain, Groups, Rule, Spec, calls, parse
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import form_for
from metadescent.meta.state import MetaState, initial_state
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.chained import chain
from metadescent.optimizers.partitioned import Partitioned
from metadescent.registry import make_estimator, make_optimizer
from metadescent.runs.recipe import Recipe, recipe_from
from metadescent.zoo.cards import read_card
from metadescent.zoo.catalogue import pinned
from metadescent.zoo.file import load


@dataclass(frozen=True)
class Plan:
    """Everything that a run is computed from, as `plan_of` makes it from a recipe.

    recipe          with the schedule
    m               the optimizer, with the φ that training starts from
    estimator       of the meta-gradient
    form            how the meta-gradient is computed; the estimator's name if it has one form
    meta_optimizer  what updates φ: Adam behind a clip
    weights         w_1 … w_T of equation 3
    key             of everything that the run draws after φ
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

    @property
    def validation_key(self) -> PRNGKeyArray:
        """Return the key of the validations' problems, as `run_epoch` derives it."""
        return jax.random.split(self.key)[0]

    def meta_rate_at(self, epoch: int) -> float:
        """Return the meta-rate after so many epochs."""
        return float(np.asarray(_meta_rate(self.recipe)(epoch * self.recipe.updates_per_epoch)))


def plan_of(recipe: Recipe) -> Plan:
    """Return the plan of a recipe: each part is made here, once, and handed on.

    Raises:
        UserError: if its numbers do not fit together, a name in it is unknown, or its form does not
            suit its optimizer.

    Example:
        >>> plan = plan_of(Recipe(optimizer="lstm(layers=(4,))", steps=4, unroll=2, weigh_from=3))
        >>> plan.form, plan.weights.tolist(), plan.m.layers
        ('two-phase', [0.0, 0.0, 0.0, 1.0], (4,))
    """
    recipe.check_horizon()
    # The name is pinned, because what a run was begun from must not change on the Hub.
    recipe = replace(recipe, init=str(pinned(recipe.init)))
    m = initial_optimizer(recipe)
    estimator = make_estimator(recipe.estimator, **recipe.estimator_options)
    if isinstance(estimator, Truncated):
        form = form_for(m, estimator.form, estimator.second_derivatives)
    else:
        form = calls(parse(recipe.estimator))[0].name  # by its name, as it has one form
    return Plan(
        recipe=recipe,
        m=m,
        estimator=estimator,
        form=form,
        meta_optimizer=_meta_optimizer(recipe),
        # Each w_t is 0 or 1.
        weights=(jnp.arange(recipe.steps) >= recipe.weigh_from).astype(float),
        key=_keys(recipe)[1],
    )


def _meta_optimizer(recipe: Recipe) -> optax.GradientTransformation:
    """Return Adam behind a clip; equal recipes get the same object, and so share programs."""
    return _clipped_adam(recipe.clip, recipe.meta_rate, *_decay(recipe))


@functools.cache
def _clipped_adam(
    clip: float, meta_rate: float, held: int, updates: int
) -> optax.GradientTransformation:
    rate = _schedule(meta_rate, held, updates)
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate))


def _meta_rate(recipe: Recipe) -> optax.Schedule:
    """Return a rate that is constant at first, or all the time, and then falls as half a cosine."""
    return _schedule(recipe.meta_rate, *_decay(recipe))


def _decay(recipe: Recipe) -> tuple[int, int]:
    """Return the updates before the rate falls, and those while it falls; 0 if it is constant."""
    held = min(recipe.hold * recipe.updates_per_epoch, recipe.updates)
    return (0, 0) if recipe.decay == "constant" else (held, recipe.updates - held)


def _schedule(meta_rate: float, held: int, updates: int) -> optax.Schedule:
    stays = optax.constant_schedule(meta_rate)
    if not updates:
        return stays
    falls = optax.cosine_decay_schedule(meta_rate, updates)
    return optax.join_schedules([stays, falls], [held]) if held else falls


def initial_optimizer(recipe: Recipe) -> LearnedOptimizer:
    """Return m with the φ that training starts from: that of `recipe.init`, or a fresh draw.

    The recipe's optimizer may differ from the one in `recipe.init` in options that do not shape φ,
    such as the scale of the output. If only the recipe's is a partition, every learned group starts
    from that φ. If only the recipe's is a chain, its first rule starts from that φ, and the other
    rules as drawn.
    """
    key = _keys(recipe)[0]
    if not recipe.init:
        return make_optimizer(recipe.optimizer, key)
    path = zoo.path(recipe.init)
    spec, wanted = parse(read_card(path)["optimizer"]), parse(recipe.optimizer)

    def load_as(rule: Spec) -> LearnedOptimizer:
        if isinstance(rule, Chain) and not isinstance(spec, Chain):
            first, *others = rule.links
            # `make_optimizer` deals out keys in this way; the first rule needs none.
            keys = jax.random.split(key, len(rule.links))[1:]
            drawn = (make_optimizer(link, k) for link, k in zip(others, keys, strict=True))
            return chain([load_as(first), *drawn])
        try:
            # The recipe names the code that is run, even if the file names some of its own.
            return load(path, make=lambda _, key: make_optimizer(rule, key))
        except UserError as error:
            if rule == spec:
                raise
            raise UserError(
                f"{recipe.init} holds the optimizer {spec}, whose φ does not fit the recipe's "
                f'{rule}; try --optimizer "{spec}"'
            ) from error

    def learned(rule: Rule) -> bool:
        return not (isinstance(rule, Call) and rule.name.startswith("optax."))

    # A partition into the same groups is loaded as a whole.
    if isinstance(spec, Groups) or not isinstance(wanted, Groups):
        return load_as(wanted)
    return Partitioned(
        [
            (takes, load_as(rule) if learned(rule) else make_optimizer(rule, key))
            for takes, rule in wanted.groups
        ]
    )


def as_it_begins(card: dict[str, Any], source: object) -> LearnedOptimizer:
    """Return the rule of a card with the φ that the first stage of its meta-training began with.

    Errors name `source`.
    """
    first = card
    while first.get("before"):
        first = first["before"]
    rule = recipe_from(card["recipe"], source).optimizer
    return initial_optimizer(replace(recipe_from(first["recipe"], source), optimizer=rule))


def _keys(recipe: Recipe) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Return the key of φ, and the key of everything that is drawn after it."""
    phi_key, key = jax.random.split(jax.random.key(recipe.seed))
    return phi_key, key
