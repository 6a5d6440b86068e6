"""T, the number of steps of a run, which a schedule is told in PyTorch as in JAX."""

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from metadescent import zoo
from metadescent.torch import LearnedOptimizer

PACE = "lstm(layers=(2,)) >> pace(horizon=50.0, corners=3)"
GAC = "lstm-gac(layers=(3,), averaging=1) >> pace(horizon=5.0, corners=3)"
STEPS = 12


def gradients() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(STEPS, 3, 4)).astype(np.float32)


def run(optimizer: LearnedOptimizer, steps: range = range(STEPS)) -> list[torch.Tensor]:
    """Take steps from θ = 0, and return each."""
    taken = []
    for t in steps:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.data.zero_()
                p.grad = torch.tensor(gradients()[t])
        optimizer.step()
        taken.append(torch.stack([p.detach().clone() for p in optimizer.param_groups[0]["params"]]))
    return taken


def zeros() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(3, 4))


def of(path: Any, **options: Any) -> LearnedOptimizer:
    return LearnedOptimizer([zeros()], path, **options)


@pytest.mark.parametrize("steps", [None, 1, 8, 300.0])
def test_it_is_told_as_in_jax(steps: float | int | None, saved: Callable) -> None:
    m = zoo.load(saved(PACE), steps=steps)
    theta = jnp.zeros((3, 4))
    h, update = m.init(theta), jax.jit(lambda *given: m.update(*given))
    for t, step in enumerate(run(of(saved(PACE), steps=steps))):
        g, h = update(jnp.asarray(gradients()[t]), h, theta)
        np.testing.assert_allclose(step[0].numpy(), g, rtol=1e-5, atol=1e-7)


def test_a_rule_without_a_schedule_goes_as_it_went(saved: Callable) -> None:
    path = saved("lstm(layers=(2,))")
    assert all(map(torch.equal, run(of(path, steps=7)), run(of(path))))


def test_a_group_may_have_a_run_of_its_own(saved: Callable) -> None:
    groups = [{"params": [zeros()], "steps": 8}, {"params": [zeros()]}]
    optimizer = LearnedOptimizer(groups, saved(PACE), steps=300)
    assert all(map(torch.equal, run(optimizer), run(of(saved(PACE), steps=8))))
    assert [group["steps"] for group in optimizer.param_groups] == [8, 300]


def test_what_is_loaded_is_t_too_and_it_may_be_another_then(saved: Callable) -> None:
    optimizer, resumed = of(saved(PACE), steps=8), of(saved(PACE))
    run(optimizer, range(4))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.param_groups[0]["steps"] == 8
    resumed.param_groups[0]["steps"] = 300
    longer = of(saved(PACE), steps=300)
    run(longer, range(4))
    after = run(longer, range(4, STEPS))
    assert all(map(torch.equal, run(resumed, range(4, STEPS)), after))
    assert not torch.equal(run(optimizer, range(4, STEPS))[-1], after[-1])


def test_averages_do_not_span_runs(saved: Callable, sentence: Callable) -> None:
    groups = [{"params": [zeros()], "steps": steps} for steps in (8, 9)]
    optimizer = LearnedOptimizer(groups, saved(GAC))
    assert sentence(run, optimizer) == (
        "groups have steps of 8 and 9 and this optimizer averages over all of them; give them one "
        "number"
    )
    optimizer.param_groups[1]["steps"] = 8
    run(optimizer)
