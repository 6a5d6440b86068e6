"""A recipe's plan: φ from where it says, and numbers that reach what they are for."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from metadescent import zoo
from metadescent.registry import make_optimizer
from metadescent.runs.plan import as_it_begins, initial_optimizer, plan_of
from metadescent.runs.recipe import Recipe
from metadescent.zoo import file as artifact
from metadescent.zoo.cards import read_card

RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=4,
    episodes=2,
    meta_rate=0.03,
    average=0.5,
    validation_problems=2,
)


@pytest.fixture
def first(tmp_path: Path) -> Any:
    """An optimizer that stands in a file of the test's folder."""
    m = make_optimizer(RECIPE.optimizer, jax.random.key(7))
    artifact.save(tmp_path / "first.safetensors", m, optimizer=RECIPE.optimizer)
    return m


@pytest.fixture
def init(first: Any, tmp_path: Path) -> str:
    return str(tmp_path / "first.safetensors")


def test_phi_is_drawn_by_the_seed(assert_same_bits: Callable) -> None:
    assert_same_bits(initial_optimizer(RECIPE), plan_of(RECIPE).m)
    drawn = jax.tree.leaves(initial_optimizer(RECIPE))
    other = jax.tree.leaves(initial_optimizer(replace(RECIPE, seed=1)))
    assert not all((a == b).all() for a, b in zip(drawn, other, strict=True))


def test_a_rule_as_it_begins_has_the_phi_that_its_first_stage_drew(
    assert_same_bits: Callable,
) -> None:
    earlier = replace(RECIPE, seed=5, optimizer="lstm(layers=(2,), p=None, scale=0.5)")
    later = replace(RECIPE, seed=7, init="runs/that-is-gone")
    card: dict[str, Any] = {"recipe": asdict(later), "before": {"recipe": asdict(earlier)}}
    m = as_it_begins(card, "a card")
    drawn = initial_optimizer(earlier)
    assert_same_bits(jax.tree.leaves(m), jax.tree.leaves(drawn))
    # The rule is the last stage's, which may differ in what does not shape φ.
    assert m.scale == 1.0
    assert_same_bits(as_it_begins({"recipe": asdict(earlier)}, "a card"), drawn)


@pytest.mark.slow
def test_every_optimizer_of_the_zoo_says_how_it_began() -> None:
    """As many numbers as it has now, and others: it was trained."""
    for name in zoo.names():
        rules = zoo.load(name), as_it_begins(read_card(zoo.path(name)), name)
        trained, begun = (jax.tree.leaves(eqx.filter(m, eqx.is_array)) for m in rules)
        assert [phi.shape for phi in trained] == [phi.shape for phi in begun]
        assert not all(np.array_equal(*both) for both in zip(trained, begun, strict=True))


def test_a_second_stage_begins_where_the_first_one_did() -> None:
    first, second = (
        as_it_begins(read_card(zoo.path(name)), name) for name in ("general", "cifar10-blend")
    )
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_goes_on_from_the_optimizer_it_is_given(
    first: Any, init: str, assert_same_bits: Callable
) -> None:
    plan = plan_of(replace(RECIPE, init=init, seed=1))
    assert_same_bits(plan.m, first)
    assert_same_bits(plan.initial_state.m, first)


def test_a_run_goes_on_from_its_own_kind_only(init: str, sentence: Callable) -> None:
    other = replace(RECIPE, init=init, optimizer="lstm(layers=(3,))")
    assert sentence(plan_of, other) == (
        f"{init} holds the optimizer {RECIPE.optimizer}, whose φ does not fit the recipe's "
        f'lstm(layers=(3,)); try --optimizer "{RECIPE.optimizer}"'
    )


def test_what_does_not_shape_phi_may_change_from_run_to_run(
    first: Any, init: str, assert_same_bits: Callable
) -> None:
    other = replace(RECIPE, init=init, optimizer="lstm(layers=(2,), p=None, scale=0.5)")
    m = initial_optimizer(other)
    assert m.scale == 0.5
    assert_same_bits(jax.tree.leaves(m), jax.tree.leaves(first))


def test_a_pretrained_optimizer_may_start_with_updates_half_as_long() -> None:
    before = zoo.load("mnist-lstm")
    m = initial_optimizer(Recipe(optimizer="lstm(scale=0.05)", init="mnist-lstm"))
    assert (m.scale, before.scale) == (0.05, 0.1)
    assert (m.output.weight == before.output.weight).all()


def test_every_learned_group_may_start_from_one_optimizer(
    first: Any, init: str, assert_same_bits: Callable
) -> None:
    groups = (
        f"a -> {RECIPE.optimizer} + b -> optax.sgd(learning_rate=0.1) + * -> {RECIPE.optimizer}"
    )
    m = initial_optimizer(replace(RECIPE, init=init, optimizer=groups))
    assert m.takes == ("a", "b", "*")
    for group in (0, 2):
        assert_same_bits(jax.tree.leaves(m.rules[group]), jax.tree.leaves(first))


def test_the_first_rule_of_a_chain_may_start_from_an_optimizer(
    first: Any, init: str, assert_same_bits: Callable
) -> None:
    chain = f"* -> {RECIPE.optimizer} >> pace(corners=2)"
    lstm, pace = initial_optimizer(replace(RECIPE, init=init, optimizer=chain)).rules[0].rules
    assert_same_bits(jax.tree.leaves(lstm), jax.tree.leaves(first))
    assert pace.p.shape == (2,)


def test_the_meta_rate_falls_along_half_a_cosine_to_zero() -> None:
    plan = plan_of(replace(RECIPE, epochs=4, meta_rate=2.0))
    rates = [plan.meta_rate_at(epoch) for epoch in range(5)]
    np.testing.assert_allclose(rates, 1 + np.cos(np.pi * np.arange(5) / 4), atol=1e-6)
    constant = plan_of(replace(plan.recipe, decay="constant"))
    assert [constant.meta_rate_at(epoch) for epoch in range(5)] == 5 * [2.0]
    # It is held for as many epochs, and falls over the others.
    held = plan_of(replace(plan.recipe, epochs=7, hold=3))
    assert [held.meta_rate_at(epoch) for epoch in range(8)] == pytest.approx(3 * [2.0] + rates)
    for_ever = plan_of(replace(plan.recipe, hold=9))
    assert [for_ever.meta_rate_at(epoch) for epoch in range(5)] == 5 * [2.0]


def test_runs_alike_share_their_meta_optimizer() -> None:
    """The very object, by which JAX finds their programs compiled."""
    plan = plan_of(RECIPE)
    assert plan_of(replace(RECIPE, seed=1)).meta_optimizer is plan.meta_optimizer
    assert plan_of(replace(RECIPE, clip=1.0)).meta_optimizer is not plan.meta_optimizer


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({}, "two-phase"),
        ({"form": "plain"}, "plain"),
        ({"second_derivatives": True}, "recompute"),
        ({"estimator": "truncated(form='segments')", "form": "plain"}, "segments"),
        ({"estimator": "truncated(second_derivatives=True)"}, "recompute"),
        ({"estimator": "pes(std=0.1)"}, "pes"),
        ({"estimator": "imitation", "form": "plain"}, "imitation"),
    ],
    ids=str,
)
def test_the_form_of_a_recipe_is_its_estimators(options: dict[str, Any], form: str) -> None:
    assert plan_of(replace(RECIPE, **options)).form == form


def test_a_recipes_numbers_reach_its_estimator() -> None:
    recipe = replace(RECIPE, problems=3, coordinates=5)
    estimators: dict[str, Any] = {
        spec: plan_of(replace(recipe, estimator=spec)).estimator
        for spec in ("truncated", "truncated(problems=9)", "pes(std=0.1)")
    }
    assert [estimator.problems for estimator in estimators.values()] == [3, 9, 3]
    assert (estimators["truncated"].coordinates, estimators["pes(std=0.1)"].std) == (5, 0.1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"unroll": 3}, "not a multiple"),
        ({"weigh_from": 4}, "weigh_from is 4 and must be from 0 to 3"),
        ({"form": "two-phase", "second_derivatives": True}, "try the form recompute"),
        ({"optimizer": "lstn"}, "did you mean 'lstm'?"),
        ({"optimizer": "lstm(layer=(2,))"}, "did you mean 'layers'?"),
        ({"init": "nowhere"}, "there is no pretrained optimizer and no file 'nowhere'"),
    ],
)
def test_what_cannot_start_is_said(wrong: dict[str, Any], words: str, sentence: Callable) -> None:
    assert words in sentence(plan_of, replace(RECIPE, **wrong))
