"""A blend in PyTorch: JAX's steps, figures of each tensor, and what stays."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
import torch

from metadescent import zoo
from metadescent.optimizers.blend import Blend
from metadescent.registry import make_optimizer
from metadescent.torch import LearnedOptimizer, native, native_blend
from metadescent.torch.rules import blend as blend_rule
from metadescent.torch.rules.blend import BlendRule
from metadescent.torch.stack import SIDE_BY_SIDE, sides
from metadescent.zoo import file as artifact

STEPS = 100
# Several of one shape, blocks of rows and of columns, what is stacked and what is not.
SHAPES = [
    *((), (7,), (64,), (64,), (64,), (0, 4), (12, 30), (12, 30), (70, 40), (33, 65), (3, 5, 7)),
    *((1, 20, 6), (16, 3, 3, 3), (SIDE_BY_SIDE + 1,), (64, 65)),
]
Arrays = list[np.ndarray]
DEPTH = 12
"""Its place among the figures that the network looks at."""


@pytest.fixture(params=["kernel", "operations"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it with the kernel in C++ and without."""
    if request.param == "operations":
        monkeypatch.setattr(native, "kernel", lambda: None)
    elif native.kernel() is None:
        pytest.skip("no C++ compiler")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An optimizer whose φ is far from where it begins, so that all of it counts."""
    spec, key = "blend(hidden=4)", jax.random.key(1)
    m = make_optimizer(spec, jax.random.key(0))
    leaves, treedef = jax.tree.flatten(m)
    keys = jax.random.split(key, len(leaves))
    moved = [x + 0.2 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    file = tmp_path_factory.mktemp("blend") / "optimizer.safetensors"
    artifact.save(file, treedef.unflatten(moved), optimizer=spec)
    return file


@pytest.fixture
def without_depth(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, but for what L, the number of matrices, does."""
    for module in (blend_rule, native_blend):
        monkeypatch.setattr(module, "BY_DEPTH", 0.0)
    m = zoo.load(path)
    m = eqx.tree_at(lambda m: m.W_1, m, m.W_1.at[:, DEPTH].set(0.0))
    artifact.save(tmp_path / "optimizer.safetensors", m, optimizer="blend(hidden=4)")
    return tmp_path / "optimizer.safetensors"


def gradients(theta: Arrays, centres: Arrays, t: int) -> Arrays:
    """∇ of a noisy bowl, which a few tensors leave half-way."""
    draw = np.random.default_rng(t)
    noise = (0.3 * draw.normal(size=x.shape) for x in theta)
    pairs = zip(theta, centres, noise, strict=True)
    all_of_them = [(x - c + e).astype(np.float32) for x, c, e in pairs]
    is_there = [t < STEPS // 2 or number % 5 > 0 for number in range(len(theta))]
    return [x * present for x, present in zip(all_of_them, is_there, strict=True)]


def normals(seed: int) -> Arrays:
    draw = np.random.default_rng(seed)
    return [draw.normal(size=shape).astype(np.float32) for shape in SHAPES]


def turned(x: np.ndarray) -> np.ndarray:
    """Return a tensor with its outputs last, as JAX has those of a convolution."""
    return np.moveaxis(x, 0, -1) if x.ndim > 2 and x.shape[0] > 1 else x


def turned_back(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.moveaxis(x, -1, 0) if len(shape) > 2 and shape[0] > 1 else np.asarray(x)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [None, 150, 2000])
def test_a_hundred_steps_are_those_of_jax(steps: int | None, path: Path) -> None:
    """θ goes JAX's way, and so each step is compared by itself and not after what went before."""
    m, theta, centres = zoo.load(path, steps=steps), normals(0), normals(1)
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    # θ + g − θ would be rounded, so the step alone is taken, from what a decay of 1 leaves.
    options: dict[str, Any] = {"weight_decay": 1.0, "decay_lr": 1.0}
    optimizer = LearnedOptimizer(params, path, steps=steps, **options)
    h = m.init([*map(turned, theta)])
    update = jax.jit(lambda *given: m.update(*given))
    errors, sizes = [], []
    for t in range(STEPS):
        given = gradients(theta, centres, t)
        g, h = update([*map(turned, given)], h, [*map(turned, theta)])
        theirs = [turned_back(x, shape) for x, shape in zip(g, SHAPES, strict=True)]
        for p, x, gradient in zip(params, theta, given, strict=True):
            p.data.copy_(torch.tensor(x))
            p.grad = torch.tensor(gradient)
        optimizer.step()
        ours = [p.detach().numpy() for p in params]
        errors.append([np.linalg.norm(a - b) for a, b in zip(ours, theirs, strict=True)])
        sizes.append([np.linalg.norm(x) for x in theirs])
        theta = [x + step for x, step in zip(theta, theirs, strict=True)]
    typical = np.sqrt(np.mean(np.square(sizes), axis=0))
    # In float64 they are as one. In float32 JAX's own are as far from those of float64.
    np.testing.assert_array_less(np.max(errors, axis=0), 3e-5 * typical + 1e-30)
    assert np.count_nonzero(typical) == len(SHAPES) - 1


@pytest.mark.parametrize("horizon", [0.0, 150.0, 500.0, 20_000.0])
def test_what_a_step_is_told_of_its_run_is_that_of_jax(horizon: float) -> None:
    m, rule = Blend(horizon=horizon, key=jax.random.key(0)), BlendRule(horizon=horizon)
    t = np.array([0, 1, 50, horizon / 2, max(0, horizon - 1), 2 * horizon], np.float32)
    for name in ("_factor", "_clock"):
        ours, theirs = getattr(rule, name)(torch.tensor(t)), jax.vmap(getattr(m, name))(t)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert rule._kappa() == pytest.approx(m._kappa())


def start() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.tensor(x)) for x in normals(2)]


def feed(params: list[torch.nn.Parameter], t: int, skip: int | None = None) -> None:
    draw = torch.Generator().manual_seed(t)
    for number, p in enumerate(params):
        p.grad = torch.randn(p.shape, generator=draw).to(p.dtype)
        if number == skip:
            p.grad = None


def test_each_tensor_has_figures_and_a_clock_of_its_own(without_depth: Path) -> None:
    """So one that is frozen for a while goes on from its own, as if it were alone."""
    params, alone = start(), start()
    frozen = SHAPES.index((12, 30))
    optimizer = LearnedOptimizer(params, without_depth, steps=20)
    twin = LearnedOptimizer([alone[frozen]], without_depth, steps=20)
    for t in range(8):
        is_still = 2 <= t < 5
        feed(params, t, frozen if is_still else None)
        optimizer.step()
        if not is_still:
            feed(alone, t)
            twin.step()
    p, q = params[frozen], alone[frozen]
    assert optimizer.state[p].keys() == {"fast", "slow", "square", "figures", "t"}
    assert [optimizer.state[x]["t"].item() for x in (p, params[0])] == [5, 8]
    torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    for name, x in twin.state[q].items():
        torch.testing.assert_close(optimizer.state[p][name], x, rtol=1e-5, atol=1e-6)
        assert x.shape == {"figures": (7,), "t": ()}.get(name, p.shape)


def test_but_for_their_number_tensors_do_not_see_each_other(without_depth: Path) -> None:
    together, apart = start(), start()
    optimizer = LearnedOptimizer(together, without_depth)
    others = [LearnedOptimizer([p], without_depth) for p in apart]
    for t in range(3):
        feed(together, t)
        feed(apart, t)
        optimizer.step()
        for other in others:
            other.step()
    for p, q in zip(together, apart, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_parameters_in_few_bits_the_state_is_float32(dtype: torch.dtype, path: Path) -> None:
    params = [torch.nn.Parameter(p.detach().to(dtype)) for p in start()]
    optimizer, exact = LearnedOptimizer(params, path), start()
    for p, q in zip(params, exact, strict=True):
        q.data.copy_(p.data)
    twin = LearnedOptimizer(exact, path)
    feed(params, 0)
    for p, q in zip(params, exact, strict=True):
        q.grad = p.grad.float()
    optimizer.step()
    twin.step()
    unit = torch.finfo(dtype).eps
    for p, q in zip(params, exact, strict=True):
        torch.testing.assert_close(p.float(), q, rtol=unit, atol=unit)
        assert all(h.dtype == torch.float32 for h in optimizer.state[p].values())
        for name, h in twin.state[q].items():
            torch.testing.assert_close(optimizer.state[p][name], h, rtol=1e-6, atol=1e-7)


def test_a_state_whose_figures_are_others_is_refused(path: Path, sentence: Callable) -> None:
    params = [torch.nn.Parameter(torch.ones(3, 4))]
    optimizer = LearnedOptimizer(params, path)
    params[0].grad = torch.ones(3, 4)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["figures"] = torch.zeros(3, 4)
    assert sentence(optimizer.load_state_dict, state) == (
        "figures of a parameter of shape (3, 4) has shape (3, 4) where (7,) is expected; it was "
        "saved from another optimizer or model"
    )


def test_what_never_had_a_gradient_stays(path: Path) -> None:
    p = torch.nn.Parameter(torch.ones(6, 5))
    p.grad = torch.ones(6, 5)
    p.grad[2, 3], p.grad[4] = 0.0, 0.0
    optimizer = LearnedOptimizer([p], path)
    for _ in range(3):
        optimizer.step()
    assert torch.equal(p != 1, p.grad != 0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6, 5), (6, 5)), ((64, 3, 7, 7), (64, 147)), ((8, 2, 5), (8, 10)), ((1, 50, 8), (50, 8))],
)
def test_a_tensor_of_more_axes_is_a_matrix(shape: tuple, expected: tuple) -> None:
    assert sides(shape) == expected
