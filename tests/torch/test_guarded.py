"""The guard in PyTorch takes the steps that it takes in JAX, and counts them."""

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from metadescent import zoo
from metadescent.optimizers import Guarded
from metadescent.registry import make_optimizer
from metadescent.torch import LearnedOptimizer
from metadescent.torch.guarded import Guard
from metadescent.torch.partitioned import read_groups

SHAPES = {"conv.0.w": (2, 3, 1, 2), "conv.0.b": (3,), "out.w": (4, 5), "out.a": (), "out.n": (0,)}
STEPS = 12
KINDS = [
    "lstm(layers=(3, 2))",
    "lstm(layers=(3,), scale=40.0)",  # far too long
    "anytime(layers=(3,), betas=(0.5, 0.99))",
    "lstm-gac(layers=(3,), averaging=1)",
    "lstm(layers=(2,)) >> relative(rate=0.7)",
]


def gradients() -> dict[str, np.ndarray]:
    """∇ of every step: a NaN, an infinity, what overflows when squared, and zeros among them."""
    rng = np.random.default_rng(0)
    by_leaf = {
        name: (10 ** rng.uniform(-4, 0, (STEPS, *shape)) * rng.normal(size=(STEPS, *shape))).astype(
            np.float32
        )
        for name, shape in SHAPES.items()
    }
    by_leaf["out.w"][3, 1, 2], by_leaf["out.a"][5] = np.nan, -np.inf
    by_leaf["conv.0.w"][7, 0, 0, 0, 0], by_leaf["conv.0.b"][8] = 1e30, 0.0
    return by_leaf


def begin() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        name: np.zeros(shape, np.float32)
        if name.endswith("b")
        else rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def in_jax(m: Any) -> tuple[dict[str, np.ndarray], Any]:
    """g of every step along the way of θ, and the last state."""

    @jax.jit
    def run(stream: Any, theta: Any) -> Any:
        def step(carry: Any, gradient: Any) -> Any:
            h, theta = carry
            g, h = m.update(gradient, h, theta)
            return (h, jax.tree.map(jnp.add, theta, g)), g

        (h, _), g = jax.lax.scan(step, (m.init(theta), theta), stream)
        return g, h

    return run(gradients(), begin())


def in_torch(optimizer_of: Callable) -> tuple[dict[str, np.ndarray], LearnedOptimizer]:
    """The same; parameters come in the order of `SHAPES`, and the optimizer may be exchanged."""
    theta = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in begin().items()}
    rows: dict[str, list] = {name: [] for name in theta}
    optimizer = None
    for t in range(STEPS):
        optimizer = optimizer_of(optimizer, theta, t)
        before = {name: p.detach().clone() for name, p in theta.items()}
        for name, p in theta.items():
            p.grad = torch.tensor(gradients()[name][t])
        optimizer.step()
        for name, p in theta.items():
            rows[name].append((p.detach() - before[name]).numpy())
    assert optimizer is not None
    return {name: np.stack(x) for name, x in rows.items()}, optimizer


def once(path: Any, **options: Any) -> Callable:
    return lambda last, theta, t: last or LearnedOptimizer(theta.items(), path, **options)


def assert_agree(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    for name in SHAPES:
        # θ + g − θ is g to the digits that θ has.
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=5e-7, err_msg=name)


def assert_counts(optimizer: LearnedOptimizer, state: Any) -> None:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    replaced = [int(optimizer.state[p]["replaced"]) for p in params]
    assert replaced == [int(state.replaced[name]) for name in SHAPES]
    assert optimizer.guarded == {
        "replaced": sum(replaced),
        "not_finite": int(state.not_finite),
    }


@pytest.mark.parametrize("spec", KINDS)
def test_its_steps_are_those_of_jax(spec: str, saved: Callable) -> None:
    path = saved(spec)
    theirs, state = in_jax(Guarded(zoo.load(path)))
    ours, optimizer = in_torch(once(path, guard=True))
    assert_agree(ours, theirs)
    assert_counts(optimizer, state)
    assert optimizer.guarded["not_finite"] == 2
    finite = [h for state in optimizer.state.values() for h in state.values()]
    assert all(torch.isfinite(h).all() for h in finite)


def test_some_of_those_are_replaced_and_some_are_not(saved: Callable) -> None:
    by_kind = [in_torch(once(saved(spec), guard=True))[1].guarded["replaced"] for spec in KINDS]
    assert by_kind[0] == 0
    assert by_kind[1] > 10
    assert by_kind[2] >= len(SHAPES)  # its moments overflow once


@pytest.mark.parametrize(
    "spec",
    [
        "lstm(layers=(3,)) >> guard(limit=0.02, rate=0.01)",
        "conv/* -> lstm(layers=(2,)) >> relative >> guard(limit=0.01) + * -> rnnprop(layers=(2,))",
    ],
)
def test_a_file_may_have_a_guard(spec: str, saved: Callable) -> None:
    path = saved(spec)
    m, parts = zoo.load(path), read_groups(path)
    assert parts[0].guard is not None
    if len(parts) == 1:
        theirs, state = in_jax(m)
        ours, optimizer = in_torch(once(path))
        assert_agree(ours, theirs)
        assert_counts(optimizer, state)
        assert optimizer.guarded["replaced"] > 0
    else:
        assert parts[1].guard is None
        again = LearnedOptimizer([("conv.w", torch.ones(3))], path, guard=True)
        assert [part.guard for part in again._parts] == [Guard(limit=0.01), Guard()]


def test_without_a_step_that_is_unsafe_it_is_the_rule_bit_for_bit(saved: Callable) -> None:
    rows, theta = gradients(), begin()
    both = []
    for guard in (False, True):
        params = [torch.nn.Parameter(torch.tensor(x)) for x in theta.values()]
        optimizer = LearnedOptimizer(params, saved(KINDS[0]), guard=guard)
        for t in (0, 1, 2):
            for p, x in zip(params, rows.values(), strict=True):
                p.grad = torch.tensor(x[t])
            optimizer.step()
        both.append([*params, *(optimizer.state[p][n] for p in params for n in ("h0", "c1"))])
        assert optimizer.guarded == {"replaced": 0, "not_finite": 0}
        assert ("replaced" in optimizer.state[params[0]]) == guard
    assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_a_run_that_was_resumed_goes_on_and_counts_on(way: str, saved: Callable) -> None:
    path = saved(KINDS[2])

    def resumed(last: Any, theta: Any, t: int) -> LearnedOptimizer:
        if t not in (0, 4, 9):
            return last
        optimizer = LearnedOptimizer(theta.items(), path, guard=True)
        if last is not None:
            given = last.state_dict()
            if way == "pickle":
                given = pickle.loads(pickle.dumps(given))
            elif way == "deepcopy":
                given = copy.deepcopy(given)
            optimizer.load_state_dict(given)
        return optimizer

    whole, parts = in_torch(once(path, guard=True)), in_torch(resumed)
    for name in SHAPES:
        np.testing.assert_array_equal(whole[0][name], parts[0][name])
    assert whole[1].guarded == parts[1].guarded != {"replaced": 0, "not_finite": 0}


def test_a_run_may_go_on_with_a_guard_or_without(saved: Callable) -> None:
    path, p = saved(KINDS[0]), torch.nn.Parameter(torch.ones(3))
    plain, guarded = (LearnedOptimizer([p], path, guard=guard) for guard in (False, True))
    for optimizer, other in ((plain, guarded), (guarded, plain)):
        p.grad = torch.ones(3)
        optimizer.step()
        other.load_state_dict(optimizer.state_dict())
        assert torch.equal(other.state[p]["h0"], optimizer.state[p]["h0"])
    assert "replaced" not in plain.state[p]


def test_a_count_that_is_none_is_refused(saved: Callable, sentence: Callable) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = LearnedOptimizer([p], saved(KINDS[0]), guard=True)
    p.grad = torch.ones(3)
    optimizer.step()
    given = optimizer.state_dict()
    given["state"][0]["replaced"] = torch.ones(2)
    assert sentence(optimizer.load_state_dict, given) == (
        "replaced of a parameter of shape (3,) must be a tensor of one number; try "
        "optimizer.state.pop(parameter), which begins anew"
    )


def test_with_reduced_state_and_at_rest_nothing_else_changes(saved: Callable) -> None:
    path = saved(KINDS[0])
    p = torch.nn.Parameter(torch.full((4,), 0.1, dtype=torch.bfloat16))
    optimizer = LearnedOptimizer(
        [p], path, guard=True, at_rest=True, state_dtype=torch.bfloat16, maximize=True
    )
    for x in ([1.0, 0.0, 1.0, 1.0], [torch.nan, 0.0, 1.0, 1.0], [1.0, 0.0, 1e30, 1.0]):
        p.grad = torch.tensor(x, dtype=torch.bfloat16)
        optimizer.step()
    assert p[1] == torch.tensor(0.1, dtype=torch.bfloat16)
    assert torch.isfinite(p).all()
    assert optimizer.guarded["not_finite"] == 1


def test_its_options_are_those_of_jax(saved: Callable) -> None:
    def options(make: Any) -> dict[str, Any]:
        parameters = inspect.signature(make).parameters
        return {k: x.default for k, x in parameters.items() if k != "rule"}

    assert options(Guard) == options(Guarded)
    assert isinstance(make_optimizer("lstm >> guard", jax.random.key(0)), Guarded)
