"""On a GPU a step is what it is on a CPU. Without CUDA all of this is skipped."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

from metadescent.torch import LearnedOptimizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")

DEVICE = "cuda"
AVERAGING = "lstm-gac(layers=(3, 2), averaging=2)"
KINDS = [
    "lstm(layers=(3, 2))",
    "rnnprop(layers=(3,), beta=0.9)",
    "anytime(layers=(3,), betas=(0.5, 0.99), tau=10.0, clock=20.0)",
    AVERAGING,
    "lstm(layers=(2,)) >> pace(horizon=5.0, corners=3)",
    "conv/* -> modulated(layers=(3,), clock=20.0) >> relative(floor=0.5) + * -> lstm(layers=(2,))",
    "anytime(layers=(3,), clock=20.0) >> proportional(ceiling=10.0)",
    "blend(horizon=5.0, hidden=3)",
]
SHAPES = {"conv.0.w": (2, 3), "out.w": (4,), "out.a": (), "out.none": (0,), "out.b": (3, 2)}

Theta = dict[str, torch.nn.Parameter]


def start(device: str, dtype: torch.dtype = torch.float32) -> Theta:
    draw = torch.Generator().manual_seed(0)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=draw).to(device, dtype))
        for name, shape in SHAPES.items()
    }


def run(theta: Theta, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for t in steps:
        draw = torch.Generator().manual_seed(100 + t)
        for name, p in theta.items():
            p.grad = torch.randn(p.shape, generator=draw).to(p)
            if name == "out.w" and t == 2:
                p.grad = None
        optimizer.step()


def assert_close(some: Theta, others: Theta, tolerance: float = 1e-5) -> None:
    for name, p in some.items():
        x, y = p.detach().cpu(), others[name].detach().cpu()
        torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spec", KINDS)
def test_steps_are_those_of_a_cpu(spec: str, dtype: torch.dtype, saved: Callable) -> None:
    theta, on_gpu = start("cpu", dtype), start(DEVICE, dtype)
    run(
        theta,
        LearnedOptimizer(theta.items(), saved(spec), weight_decay=0.1, decay_lr=None),
        range(5),
    )
    run(
        on_gpu,
        LearnedOptimizer(on_gpu.items(), saved(spec), weight_decay=0.1, decay_lr=None),
        range(5),
    )
    # A result between two bfloat16 may go to either.
    assert_close(on_gpu, theta, 1e-5 if dtype == torch.float32 else 2e-2)


def test_h_lies_where_its_parameter_does(saved: Callable) -> None:
    theta = start(DEVICE)
    optimizer = LearnedOptimizer(theta.values(), saved(KINDS[0]))
    run(theta, optimizer, range(1))
    for p, state in optimizer.state.items():
        assert all(h.device == p.device for h in state.values())


@pytest.mark.parametrize("onto", [DEVICE, "cpu"])
@pytest.mark.parametrize("spec", KINDS)
def test_a_run_that_was_resumed_is_the_run(spec: str, onto: str, saved: Callable) -> None:
    """On the same device, and on a CPU after the GPU."""
    whole, theta = start(DEVICE), start(DEVICE)
    run(whole, LearnedOptimizer(whole.items(), saved(spec)), range(6))
    optimizer = LearnedOptimizer(theta.items(), saved(spec))
    run(theta, optimizer, range(3))
    file = io.BytesIO()
    torch.save([{name: p.detach() for name, p in theta.items()}, optimizer.state_dict()], file)
    file.seek(0)
    values, state = torch.load(file, weights_only=True, map_location=onto)
    resumed = {name: torch.nn.Parameter(p) for name, p in values.items()}
    optimizer = LearnedOptimizer(resumed.items(), saved(spec))
    optimizer.load_state_dict(state)
    run(resumed, optimizer, range(3, 6))
    assert_close(resumed, whole)


def launches(count: int, **options: Any) -> int:
    """How many kernels the GPU is given for a step of that many tensors, the first step behind."""
    theta = [torch.nn.Parameter(torch.ones(2, 3, device=DEVICE)) for _ in range(count)]
    for p in theta:
        p.grad = torch.ones_like(p)
    optimizer = LearnedOptimizer(theta, **options)
    optimizer.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        optimizer.step()
        torch.cuda.synchronize()
    kinds = [event.device_type for event in profile.events()]
    return sum(kind == torch.autograd.DeviceType.CUDA for kind in kinds)


@pytest.mark.parametrize("spec", KINDS[:5])
def test_a_step_of_many_tensors_is_few_launches(spec: str, saved: Callable) -> None:
    """PyTorch may need another for a long list of tensors, but not one for each."""
    few, many = (
        launches(count, optimizer=saved(spec), weight_decay=0.1, decay_lr=None) for count in (2, 60)
    )
    assert 0 < few < 200
    assert many <= few + 6


def test_parameters_on_two_devices_have_a_row_on_each(saved: Callable) -> None:
    on_cpu, on_gpu = start("cpu"), start(DEVICE)
    both = [*on_cpu.values(), *on_gpu.values()]
    optimizer = LearnedOptimizer(both, saved(KINDS[0]))
    for t in range(3):
        draw = torch.Generator().manual_seed(t)
        for name, p in on_cpu.items():
            p.grad = torch.randn(p.shape, generator=draw)
            on_gpu[name].grad = p.grad.to(on_gpu[name])
        optimizer.step()
    assert_close(on_gpu, on_cpu)
    assert not torch.equal(on_cpu["out.w"], start("cpu")["out.w"])


def test_averages_do_not_span_devices(saved: Callable, sentence: Callable) -> None:
    theta = [torch.nn.Parameter(torch.zeros(2, device=device)) for device in ("cpu", DEVICE)]
    for p in theta:
        p.grad = torch.ones_like(p)
    assert sentence(LearnedOptimizer(theta, saved(AVERAGING)).step) == (
        f"the parameters are on cpu and {theta[1].device} and this optimizer averages over all of "
        "them; put them on one device"
    )
