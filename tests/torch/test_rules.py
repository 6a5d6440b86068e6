"""PyTorch's rules are JAX's: one file, the same updates."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from metadescent import zoo
from metadescent._names import discovered
from metadescent._spec import calls, parse
from metadescent.optimizers.partitioned import Partitioned
from metadescent.registry import optimizers
from metadescent.torch import LearnedOptimizer
from metadescent.torch.partitioned import read_groups
from metadescent.zoo.cards import read_card

RULES = discovered("metadescent.torch.rules")
PAGE = Path(__file__).parents[2] / "docs" / "pytorch.md"


def names(spec: str) -> set[str]:
    """The names of all rules that an optimizer is made of."""
    return {call.name for call in calls(parse(spec))}


PICKED = [
    "lstm(layers=(3, 2))",
    "lstm(layers=(), scale=0.5)",
    "lstm(layers=(2,), p=None, scale=1.0)",
    "rnnprop(layers=(3,), beta=0.9)",
    "anytime(layers=(3,), betas=(0.5, 0.99), tau=10.0, clock=20.0)",
    "lstm-gac(layers=(3, 2), averaging=2)",
    "lstm-gac(p=10.0, scale=0.1)",
    "lstm(layers=(2,)) >> pace(horizon=50.0, corners=3)",
    "lstm(layers=(2,)) >> warm-up(steps=7.3)",
    "conv/* -> modulated(layers=(3,), clock=20.0) >> relative() + * -> relative(floor=0.5)",
    # θ ~ N(0, 1) is beyond the first one's ceiling and below the second one's.
    "anytime(layers=(3,), clock=20.0) >> proportional()",
    "anytime(layers=(3,), clock=20.0) >> proportional(floor=0.1, power=1.5, ceiling=1e6)",
    "conv/* -> lstm(layers=(2,)) + * -> lstm-gac(layers=(3,), averaging=1)",
]
# A rule that is not among them is compared with its defaults, so that a new one is.
SPECS = [*PICKED, *sorted(RULES.keys() - set.union(*map(names, PICKED)))]
# Rules that need JAX; `docs/pytorch.md` names them.
WITHOUT_TORCH = {"ntm-bfgs", "ntm-l-bfgs", "pictorial", "tailored"}
MADE_OF = {name: names(read_card(zoo.path(name))["optimizer"]) for name in zoo.names()}
PRETRAINED = [name for name, rules in MADE_OF.items() if not rules & WITHOUT_TORCH]
SHAPES = {"conv.0.w": (2, 3, 1, 2), "conv.0.b": (3,), "out.w": (4, 5), "out.a": (), "out.n": (0,)}
# Beyond every clock and horizon of `PICKED`.
STEPS = 60


def gradients(largest: float) -> dict[str, np.ndarray]:
    """∇ of every step and leaf: of magnitudes from 1e-12 to `largest`, with exact zeros."""
    rng = np.random.default_rng(0)
    by_leaf = {}
    for name, shape in SHAPES.items():
        every = (STEPS, *shape)
        magnitudes = 10 ** rng.uniform(-12, np.log10(largest) - 1, shape)
        x = magnitudes * rng.normal(size=every) * 10 ** rng.uniform(-1, 1, every)
        by_leaf[name] = np.where(rng.uniform(size=every) < 0.05, 0.0, x).astype(np.float32)
    return by_leaf


def in_jax(m: Any, gradients: Any, theta: Any) -> Any:
    """g of every step, θ being what it is."""

    @jax.jit
    def run(gradients: Any, theta: Any) -> Any:
        def step(h: Any, gradient: Any) -> Any:
            g, h = m.update(gradient, h, theta)
            return h, g

        return jax.lax.scan(step, m.init(theta), gradients)[1]

    return run(gradients, theta)


def of_jax(path: Path) -> np.ndarray:
    """g of every step, all leaves in one row.

    The first axis of a convolution in PyTorch is the last one in JAX.
    """
    given: dict[str, Any] = {}
    for name, x in gradients(1.0).items():
        layer, _, leaf = name.rpartition(".")
        turned = np.moveaxis(x, 1, -1) if x.ndim > 3 else x
        given.setdefault(layer.replace(".", "/"), {})[leaf] = turned
    updates = in_jax(zoo.load(path), given, jax.tree.map(lambda x: jnp.zeros(x.shape[1:]), given))
    rows = [updates[n.rpartition(".")[0].replace(".", "/")][n.rpartition(".")[2]] for n in SHAPES]
    turned = [np.moveaxis(x, -1, 1) if x.ndim > 3 else np.asarray(x) for x in rows]
    return np.concatenate([x.reshape(STEPS, -1) for x in turned], axis=1)


def of_torch(path: Path) -> np.ndarray:
    """The same, from θ = 0 at every step, where θ + g is g."""
    given = gradients(1.0)
    theta = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in SHAPES.items()}
    optimizer = LearnedOptimizer(theta.items(), path)
    rows = []
    for t in range(STEPS):
        for name, p in theta.items():
            p.data.zero_()
            p.grad = torch.tensor(given[name][t])
        optimizer.step()
        rows.append(torch.cat([p.detach().flatten() for p in theta.values()]).numpy())
    return np.stack(rows)


def assert_they_agree(path: Path) -> None:
    """Check that the worst step is off by less than 1e-5 of an update's size."""
    ours, theirs = of_torch(path), of_jax(path)
    assert ours.shape == (STEPS, sum(int(np.prod(shape)) for shape in SHAPES.values()))
    error, size = (np.linalg.norm(x, axis=1) for x in (ours - theirs, theirs))
    assert error.max() < 1e-5 * np.sqrt(np.mean(size**2))


def assert_the_equations_agree(path: Path) -> None:
    """Check g of one row in float64.

    Gradients beyond 1 belong here: on them a meta-trained LSTM multiplies rounding errors, so that
    in float32 JAX's own forms, with the kernel and without, differ by 2e-4 after 60 steps.
    """
    rows = np.concatenate([x.reshape(STEPS, -1) for x in gradients(1e5).values()], axis=1)
    theta = np.random.default_rng(1).normal(size=rows.shape[1])
    m = zoo.load(path)
    rules = m.rules if isinstance(m, Partitioned) else [m]
    for group, rule in zip(read_groups(path), rules, strict=True):
        phi = {name: x.double() for name, x in group.phi.items()}
        shapes = group.rule.state_shapes()
        h = {n: torch.zeros((*s, rows.shape[1])).double() for n, s in shapes.items()}
        whole = group.rule.tensor_shapes()
        h |= {n: torch.zeros((*s, 1)).double() for n, s in whole.items()}
        ours = []
        for gradient in torch.tensor(rows).double():
            g, h = group.rule.update(phi, gradient, h, [torch.tensor(theta)])
            ours.append(g.numpy())
        with jax.enable_x64(True):
            # As PyTorch has φ, in which numbers of 64 bits are rounded.
            exact = jax.tree.map(lambda x: jnp.asarray(np.float32(x), jnp.float64), rule)
            given = (jnp.asarray(x, jnp.float64) for x in (rows, theta))
            theirs = np.asarray(in_jax(exact, *given))
        assert theirs.dtype == np.float64
        error, size = (np.linalg.norm(x, axis=1) for x in (np.stack(ours) - theirs, theirs))
        assert error.max() < 1e-9 * np.sqrt(np.mean(size**2))


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_pretrained_optimizer_says_what_it_says_in_jax(name: str) -> None:
    assert_they_agree(zoo.path(name))


@pytest.mark.parametrize("spec", SPECS)
def test_a_rule_of_any_phi_says_what_it_says_in_jax(spec: str, saved: Callable) -> None:
    assert_they_agree(saved(spec))


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_equations_of_a_pretrained_optimizer_are_those_of_jax(name: str) -> None:
    assert_the_equations_agree(zoo.path(name))


@pytest.mark.parametrize("spec", SPECS)
def test_the_equations_of_a_rule_are_those_of_jax(spec: str, saved: Callable) -> None:
    assert_the_equations_agree(saved(spec))


def test_every_rule_is_compared() -> None:
    assert set.union(*map(names, SPECS)) == RULES.keys()


def test_torch_has_every_rule_but_those_that_need_jax() -> None:
    assert optimizers().keys() - RULES.keys() == WITHOUT_TORCH
    assert RULES.keys() <= optimizers().keys()


def test_of_the_zoo_nothing_else_is_left_out() -> None:
    needs_jax = {name for name, rules in MADE_OF.items() if not rules <= RULES.keys()}
    assert needs_jax == MADE_OF.keys() - set(PRETRAINED)
    assert all(read_groups(zoo.path(name)) for name in PRETRAINED)


def test_the_page_says_which_of_the_zoo_need_jax() -> None:
    text = " ".join(PAGE.read_text().split())
    *rules, last = (f"`{name}`" for name in sorted(WITHOUT_TORCH))
    assert f"does not have {', '.join(rules)} and {last}, so pretrained" in text
    assert "so pretrained optimizers with `ntm` or `neural-art` in their names need JAX" in text
    named = {name for name in zoo.names() if "ntm" in name or "neural-art" in name}
    assert named == MADE_OF.keys() - set(PRETRAINED)


def options(make: Callable) -> Iterator[tuple[str, Any]]:
    for name, option in inspect.signature(make).parameters.items():
        if name != "key":
            yield name, option.default


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_the_options_and_defaults_that_it_has_in_jax(name: str) -> None:
    assert dict(options(RULES[name])) == dict(options(optimizers()[name]))
