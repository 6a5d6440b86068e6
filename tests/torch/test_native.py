"""The kernel in C++ computes what PyTorch's operations compute, and nobody needs it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from metadescent import _kernels
from metadescent.torch import LearnedOptimizer, native
from metadescent.torch.rule import Rule
from metadescent.torch.rules.anytime import AnytimeRule
from metadescent.torch.rules.gac import LSTMGACRule
from metadescent.torch.rules.lstm import LSTMRule
from metadescent.torch.rules.rnnprop import RNNPropRule

with_kernel = pytest.mark.skipif(native.kernel() is None, reason="no C++ compiler")

# Sizes below, at and beyond the width of a tile, and of the tiles and chunks that go together.
SIZES = [0, 1, 31, 32, 33, 130, 4133]
RULES = [
    LSTMRule((1,)),
    LSTMRule((5,), p=None),
    LSTMRule((3, 8, 2), scale=0.0),
    LSTMRule((20, 20)),
    LSTMGACRule((4, 3), averaging=2),
]


def case(rule: Rule, n: int, inside: int = 0) -> tuple[dict, torch.Tensor, dict]:
    """All of φ at work, gradients of many magnitudes, and h in rows that are longer by `inside`."""
    draw = torch.Generator().manual_seed(n)
    phi = {name: 0.3 * torch.randn(s, generator=draw) for name, s in rule.phi_shapes().items()}
    gradient = torch.randn(n, generator=draw) * torch.logspace(-6, 1, n)
    wide = {
        name: torch.randn((*shape, n + inside), generator=draw)
        for name, shape in rule.state_shapes().items()
    }
    return phi, gradient, {name: x[..., inside // 2 :][..., :n] for name, x in wide.items()}


def copied(h: dict) -> dict:
    return {name: x.clone() for name, x in h.items()}


@with_kernel
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{type(rule).__name__}{vars(rule)}"[:40])
def test_an_update_is_that_of_the_operations(
    rule: LSTMRule | LSTMGACRule, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    phi, gradient, h = case(rule, n, inside=7)
    fused = rule.update(phi, gradient, copied(h))
    monkeypatch.setattr(native, "kernel", lambda: None)
    torch.testing.assert_close(fused, rule.update(phi, gradient, h), rtol=2e-6, atol=2e-6)


@with_kernel
def test_h_is_renewed_where_it_lies_and_nothing_beside_it() -> None:
    rule = LSTMRule((3, 2))
    phi, gradient, _ = case(rule, 50)
    whole = {n: torch.ones((*shape, 70)) for n, shape in rule.state_shapes().items()}
    h = {name: x[:, 10:60] for name, x in whole.items()}
    _, after = rule.update(phi, gradient, h)
    assert all(after[name] is x for name, x in h.items())
    for x in whole.values():
        assert (x[:, :10] == 1).all()
        assert (x[:, 60:] == 1).all()
        assert (x[:, 10:60] != 1).all()


@with_kernel
def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "GRAIN", 100)
    rule, before = LSTMRule((20, 20)), torch.get_num_threads()
    phi, gradient, h = case(rule, 4133)
    by_threads = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            g, after = rule.run(phi, rule.features(gradient), copied(h))
            by_threads.append(torch.cat([g[None], *after.values()]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(by_threads[0], by_threads[1])
    assert torch.equal(by_threads[0], by_threads[2])


@with_kernel
def test_it_has_the_bits_that_jax_has() -> None:
    jax = pytest.importorskip("jax")
    from metadescent.optimizers.native.lstm import lstm_update

    rule = LSTMRule((5, 3))
    phi, gradient, h = case(rule, 133)
    x = rule.features(gradient)
    names = [f"cells/{n}/{k}" for n in (0, 1) for k in ("weight_ih", "weight_hh", "bias")]
    weights = [phi[name] for name in (*names, "output/weight", "output/bias")]
    arrays = [jax.numpy.asarray(y.numpy()) for y in (x, *weights, *h.values())]
    g, after = lstm_update(arrays[0], arrays[1:9], arrays[9:], rule.scale)
    ours = native.fused_update(x, weights, list(h.values()), rule.scale)
    for y, z in zip([ours, *h.values()], [g, *after], strict=True):
        assert y.numpy().tobytes() == np.asarray(z).tobytes()


def test_what_it_cannot_do_it_leaves_to_the_operations() -> None:
    rule = LSTMRule((3,))
    phi, gradient, h = case(rule, 5)
    x, weights, state = rule.features(gradient), list(phi.values()), list(h.values())
    assert native.fuses(x, weights, state) == (native.kernel() is not None)
    assert not native.fuses(x.double(), weights, state)
    assert not native.fuses(x.bfloat16(), weights, state)
    assert not native.fuses(x.to("meta"), weights, state)
    assert not native.fuses(x.T.contiguous().T, weights, state)
    assert not native.fuses(x, weights, [])
    assert not native.fuses(x, [y.T for y in weights if y.ndim > 1], state)
    assert not native.fuses(x.requires_grad_(), weights, state)


BEHIND_MOMENTS = [RNNPropRule((3,)), AnytimeRule((3,)), AnytimeRule((3,), betas=(0.9,))]


@pytest.mark.parametrize("rule", [LSTMRule((3,)), *BEHIND_MOMENTS])
def test_an_update_can_be_differentiated(rule: Rule) -> None:
    phi, gradient, h = case(rule, 5)
    for x in phi.values():
        x.requires_grad_()
    rule.update(phi, gradient, {name: x.abs() for name, x in h.items()})[0].sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in phi.values())


@pytest.mark.parametrize("rule", BEHIND_MOMENTS)
def test_moments_are_renewed_where_they_lie(rule: Rule) -> None:
    phi, gradient, h = case(rule, 5)
    h = {name: x.abs() for name, x in h.items()}
    moments = [name for name in h if name[0] in "mswt"]
    before = copied(h)
    after = rule.update(phi, gradient, h)[1]
    assert moments
    for name in moments:
        assert after[name] is h[name]
        assert not torch.equal(h[name], before[name])


@pytest.mark.parametrize("spec", ["rnnprop(layers=(3,))", "lstm-gac(layers=(3, 2), averaging=1)"])
def test_an_optimizer_says_the_same_without_it(
    spec: str, saved: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    thetas = []
    for _ in range(2):
        theta = torch.nn.Parameter(torch.zeros(3, 2))
        optimizer = LearnedOptimizer([theta], saved(spec))
        for t in range(3):
            theta.grad = torch.linspace(-1, 1, 6).reshape(3, 2) / (t + 1)
            optimizer.step()
        thetas.append(theta.detach())
        monkeypatch.setattr(native, "kernel", lambda: None)
    torch.testing.assert_close(*thetas, rtol=1e-5, atol=1e-7)


def test_nothing_is_built_on_import() -> None:
    code = (
        "import metadescent.torch, metadescent.torch.native as native;"
        "assert native.kernel.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("said", ["", "1"])
def test_without_a_compiler_there_is_none_and_that_is_said_once(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # Of a process that has said it this is no news.
    for name, value in (("CXX", ""), ("METADESCENT_NATIVE", ""), (_kernels.SAID, said)):
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    assert native.kernel.__wrapped__() is None
    assert native.kernel.__wrapped__() is None
    line = "Warning: no C++ compiler (g++, clang++), so a step takes 2 to 4 times as long."
    assert caplog.messages == ([] if said else [line])


def given(n: int = 5) -> list:
    """What fits an LSTM of one layer of two units: x, φ, h."""
    phi = [torch.rand(shape) for shape in ((8, 2), (8, 2), (8,), (1, 2), (1,))]
    return [torch.rand(2, n), phi, [torch.rand(2, n), torch.rand(2, n)]]


@with_kernel
@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("h", lambda x, phi, h: (x[:, :3].clone(), phi, h)),
        ("h", lambda x, phi, h: (x, phi, [h[0], torch.rand(2, 4)])),
        ("h", lambda x, phi, h: (x, phi, [h[0].to(torch.float64), h[1]])),
        ("h", lambda x, phi, h: (x, phi, [torch.rand(1, 5).expand(2, 5), h[1]])),
        ("h", lambda x, phi, h: (x, phi, [torch.rand(2, 10)[:, ::2], h[1]])),
        ("h", lambda x, phi, h: (x, phi, [h[0], torch.rand(2, 9)[:, :5]])),
        ("memory", lambda x, phi, h: (x, phi, [h[0], h[0]])),
        ("memory", lambda x, phi, h: (h[0], phi, h)),
        ("φ", lambda x, phi, h: (torch.rand(3, 5), phi, h)),
        ("φ", lambda x, phi, h: (x, [*phi[:2], torch.rand(7), *phi[3:]], h)),
        ("φ", lambda x, phi, h: (x, [*phi[:3], torch.rand(1, 3), phi[4]], h)),
    ],
)
def test_the_kernel_refuses_what_does_not_fit_and_touches_nothing(
    what: str, change: Callable, sentence: Callable
) -> None:
    x, phi, h = change(*given())
    before = [y.clone() for y in h]
    said = sentence(native.fused_update, x, phi, h, 0.5)
    assert said.startswith(f"the LSTM's kernel cannot take {what}")
    assert all(map(torch.equal, h, before))


@with_kernel
def test_rows_may_lie_between_one_another() -> None:
    x, phi, h = given()
    wide = torch.zeros(2, 10)
    inside = [wide[:, :5], wide[:, 5:]]
    for to, y in zip(inside, h, strict=True):
        to.copy_(y)
    torch.testing.assert_close(
        native.fused_update(x, phi, inside, 0.5), native.fused_update(x, phi, h, 0.5)
    )
    torch.testing.assert_close(inside, h)
