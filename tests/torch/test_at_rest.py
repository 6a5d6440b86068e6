"""A coordinate stays until its gradient is first not 0, as in JAX; so Adam has it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from metadescent import zoo
from metadescent.optimizers import AtRest
from metadescent.torch import LearnedOptimizer

SPECS = [
    "lstm(layers=(3, 2))",
    "lstm-gac(layers=(3,), averaging=1)",
    "anytime(layers=(3,), clock=20.0) >> proportional()",
    "blend(hidden=3)",
    "mnist-lstm",
]
STEPS, SHAPE = 6, (3, 4)


@pytest.fixture(scope="module", autouse=True)
def begun() -> None:
    """A first step, for which PyTorch begins its threads."""
    p = torch.nn.Parameter(torch.ones(2))
    p.sum().backward()
    LearnedOptimizer([p], "mnist-lstm").step()


def gradients() -> np.ndarray:
    """∇ of every step: 0 for ever in a row, and until some step in others."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(STEPS, *SHAPE)).astype(np.float32)
    x[:, 0], x[:3, 1] = 0.0, 0.0
    x[4] = 0.0
    return x


@pytest.mark.parametrize("spec", SPECS)
def test_it_is_at_rest_where_it_is_in_jax(spec: str, saved: Callable) -> None:
    path = zoo.path(spec) if spec in zoo.names() else saved(spec)
    m, theta = AtRest(zoo.load(path)), jnp.ones(SHAPE)
    p = torch.nn.Parameter(torch.ones(SHAPE))
    optimizer, h = LearnedOptimizer([p], path, at_rest=True), m.init(theta)
    update = jax.jit(lambda *given: m.update(*given))
    for gradient in gradients():
        p.grad = torch.tensor(gradient)
        p.data.fill_(1.0)
        optimizer.step()
        g, h = update(jnp.asarray(gradient), h, theta)
        np.testing.assert_allclose(p.detach().numpy() - 1.0, g, rtol=1e-4, atol=3e-7)
        np.testing.assert_array_equal((p == 1).numpy()[0], True)
    assert torch.equal(optimizer.state[p]["awake"], torch.tensor(gradients().any(0)))


@pytest.mark.parametrize("options", [{}, {"maximize": True}])
def test_a_padding_row_stays_where_it_is(options: dict[str, Any], saved: Callable) -> None:
    table = torch.nn.Embedding(9, 4, padding_idx=0)
    other = torch.nn.Parameter(torch.zeros(5))
    groups = [{"params": table.parameters(), "at_rest": True}, {"params": [other]}]
    optimizer = LearnedOptimizer(groups, saved(SPECS[0]), **options)
    before = table.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad(set_to_none=False)
        table(torch.tensor([0, 1, 2])).square().sum().backward()
        other.grad = torch.zeros(5)
        optimizer.step()
    moved = (table.weight != before).any(1)
    assert moved.tolist() == [False, True, True, *[False] * 6]
    assert other.all()
    assert "awake" not in optimizer.state[other]


def test_a_run_that_was_resumed_knows_who_was_awake(saved: Callable) -> None:
    theta, twin = (torch.nn.Parameter(torch.ones(SHAPE)) for _ in range(2))
    whole = LearnedOptimizer([theta], saved(SPECS[0]), at_rest=True)
    parts = LearnedOptimizer([twin], saved(SPECS[0]), at_rest=True)
    for t, gradient in enumerate(gradients()):
        if t == 3:
            state = parts.state_dict()
            # What is loaded is the option too, as with every option of PyTorch's own.
            parts = LearnedOptimizer([twin], saved(SPECS[0]))
            parts.load_state_dict(state)
        for p, optimizer in ((theta, whole), (twin, parts)):
            p.grad = torch.tensor(gradient)
            optimizer.step()
    assert torch.equal(theta, twin)
