"""h in bfloat16: half the memory, rounded once a step, and close to what float32 does."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

from metadescent.torch import LearnedOptimizer, native

SPECS = [
    "lstm(layers=(3, 2))",
    "rnnprop(layers=(3,), beta=0.9)",
    "anytime(layers=(3,), betas=(0.5, 0.99), clock=20.0)",
    "lstm-gac(layers=(3, 2), averaging=2)",
    "modulated(layers=(3,), clock=20.0) >> relative(floor=0.5)",
    "lstm(layers=(2,)) >> pace(horizon=5.0, corners=3)",
]
# One that fills blocks of its own, two without the kernel, and small ones that share one.
SHAPES = [(3, 2731), (2, 3), (), (0,), (5,)]
HALF = torch.bfloat16
Theta = list[torch.nn.Parameter]


@pytest.fixture(params=[True, False], ids=["kernel", "operations"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(native, "kernel", lambda: None)


def start() -> Theta:
    draw = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def step(theta: Theta, optimizer: LearnedOptimizer, t: int) -> None:
    draw = torch.Generator().manual_seed(10 + t)
    for p in theta:
        p.grad = torch.randn(p.shape, generator=draw)
    optimizer.step()


def is_hidden(p: torch.Tensor, x: torch.Tensor) -> bool:
    """Whether a leaf of h is units, of which each coordinate has several."""
    return x.ndim > p.ndim


def assert_same_bits(some: Theta, others: Theta) -> None:
    assert all(map(torch.equal, some, others))


@pytest.mark.usefixtures("_kernel")
@pytest.mark.parametrize("spec", SPECS)
def test_it_is_float32_that_is_rounded_after_each_step(spec: str, saved: Callable) -> None:
    theta, twin = start(), start()
    optimizer = LearnedOptimizer(theta, saved(spec), state_dtype=HALF)
    exact = LearnedOptimizer(twin, saved(spec))
    for t in range(3):
        step(theta, optimizer, t)
        step(twin, exact, t)
        assert_same_bits(theta, twin)
        for p, q in zip(theta, twin, strict=True):
            for name, x in exact.state[q].items():
                kept = optimizer.state[p][name]
                assert kept.dtype == (HALF if is_hidden(q, x) else torch.float32)
                if is_hidden(q, x):
                    x.copy_(x.to(HALF))
                assert torch.equal(kept.float(), x)


def test_parameters_of_both_kinds_share_a_row(saved: Callable) -> None:
    """LSTM+GAC averages over all of them, whatever each is kept in."""
    path = saved(SPECS[3])
    theta, twin = start(), start()
    groups = [{"params": theta[:2], "state_dtype": HALF}, {"params": theta[2:]}]
    mixed, exact = LearnedOptimizer(groups, path), LearnedOptimizer(twin, path)
    step(theta, mixed, 0)
    step(twin, exact, 0)
    assert_same_bits(theta, twin)
    assert [mixed.state[p]["c0"].dtype for p in theta] == [HALF, HALF, *[torch.float32] * 3]


def size(optimizer: LearnedOptimizer) -> int:
    leaves = [x for h in optimizer.state.values() for x in h.values()]
    return sum(x.numel() * x.element_size() for x in leaves)


def trained(name: str, dtype: torch.dtype, steps: int) -> tuple[LearnedOptimizer, float]:
    """Return an optimizer that has fitted a sine with a small network, and the loss."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(1, 20), torch.nn.Tanh(), torch.nn.Linear(20, 1))
    optimizer = LearnedOptimizer(model.named_parameters(), name, state_dtype=dtype)
    x = torch.linspace(-2, 2, 64)[:, None]
    loss = torch.zeros(())
    for _ in range(steps):
        loss = (model(x) - torch.sin(2 * x)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return optimizer, loss.item()


@pytest.mark.parametrize("name", ["mnist-lstm", "mlp-robust-lstm", "classifier-lstm"])
def test_after_ten_steps_theta_differs_by_a_hundredth_of_the_way(name: str) -> None:
    begun, exact, half = (
        torch.cat([p.detach().flatten() for p in optimizer.param_groups[0]["params"]])
        for optimizer, _ in (
            trained(name, HALF, 0),
            trained(name, torch.float32, 10),
            trained(name, HALF, 10),
        )
    )
    assert 0 < (half - exact).norm() < 0.01 * (exact - begun).norm()


def test_after_sixty_steps_a_fit_is_about_as_good() -> None:
    first = trained("mlp-robust-lstm", HALF, 1)[1]
    (_, exact), (_, half) = (trained("mlp-robust-lstm", d, 60) for d in (torch.float32, HALF))
    assert half < 1.5 * exact < first / 10


def bytes_a_coordinate(name: str, dtype: torch.dtype) -> list[float]:
    """Return how large h of an LSTM is, and what else there is."""
    p = torch.nn.Parameter(torch.ones(7))
    optimizer = LearnedOptimizer([p], name, state_dtype=dtype)
    p.grad = torch.ones(7)
    optimizer.step()
    leaves = optimizer.state[p].values()
    sizes = [[x for x in leaves if is_hidden(p, x) == of_lstm] for of_lstm in (True, False)]
    return [sum(x.numel() * x.element_size() for x in part) / 7 for part in sizes]


@pytest.mark.parametrize(("name", "numbers"), [("mnist-lstm", 80), ("mlp-robust-lstm", 40)])
def test_what_is_kept_of_an_lstm_is_half_as_large(name: str, numbers: int) -> None:
    exact, half = (bytes_a_coordinate(name, dtype) for dtype in (torch.float32, HALF))
    assert exact[0] == 4 * numbers
    assert half == [2 * numbers, exact[1]]
    # Of moments and a count there are as many bytes as before.
    assert exact[1] == (0 if name == "mnist-lstm" else 4 * 10)


def test_what_is_kept_without_an_lstm_stays_as_it_is() -> None:
    exact, half = (bytes_a_coordinate("general", dtype) for dtype in (torch.float32, HALF))
    assert exact == half
    assert exact[0] == 0


@pytest.mark.parametrize("spec", SPECS)
def test_a_run_that_was_resumed_is_the_run(spec: str, saved: Callable) -> None:
    whole, theta = start(), start()
    optimizer = LearnedOptimizer(whole, saved(spec), state_dtype=HALF)
    for t in range(4):
        step(whole, optimizer, t)
    optimizer = LearnedOptimizer(theta, saved(spec), state_dtype=HALF)
    for t in range(2):
        step(theta, optimizer, t)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    # What is loaded is the option too, as with every option of PyTorch's own.
    optimizer = LearnedOptimizer(theta, saved(spec))
    optimizer.load_state_dict(torch.load(file, weights_only=True))
    for t in range(2, 4):
        step(theta, optimizer, t)
    assert_same_bits(theta, whole)
    assert optimizer.param_groups[0]["state_dtype"] == HALF


def test_a_group_may_change_what_its_h_is_kept_in(saved: Callable) -> None:
    theta, twin = start(), start()
    optimizers = [LearnedOptimizer(each, saved(SPECS[0])) for each in (theta, twin)]
    for t in range(2):
        for each, optimizer in zip((theta, twin), optimizers, strict=True):
            step(each, optimizer, t)
        optimizers[0].param_groups[0]["state_dtype"] = HALF
        for h in optimizers[1].state.values():
            for name in h:
                h[name] = h[name].to(HALF).float()
    assert_same_bits(theta, twin)
    assert optimizers[0].state[theta[0]]["h0"].dtype == HALF


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, "bfloat16", None])
def test_another_dtype_is_refused(dtype: Any, sentence: Callable) -> None:
    expected = (
        f"state_dtype is {dtype!r} and must be torch.float32 or torch.bfloat16; leave it out for "
        "float32"
    )
    groups = [{"params": start(), "state_dtype": dtype}]
    assert sentence(LearnedOptimizer, groups, "mnist-lstm") == expected
