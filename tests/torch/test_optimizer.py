"""A learned optimizer keeps every promise of a `torch.optim.Optimizer`."""

import copy
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from metadescent import zoo
from metadescent.torch import LearnedOptimizer

LSTM = "lstm(layers=(3, 2))"
KINDS = [
    LSTM,
    "lstm(layers=(), scale=0.5)",
    "rnnprop(layers=(3,), beta=0.9)",
    "anytime(layers=(3,), betas=(0.5, 0.99), tau=10.0, clock=20.0)",
    "lstm-gac(layers=(3, 2), averaging=2)",
    "conv/* -> lstm(layers=(2,)) + * -> lstm-gac(layers=(3,), averaging=1)",
    "lstm(layers=(2,)) >> pace(horizon=5.0, corners=3)",
    "modulated(layers=(3,), clock=20.0) >> relative(floor=0.5)",
    "anytime(layers=(3,), clock=20.0) >> proportional(ceiling=10.0)",
    "blend(horizon=5.0, hidden=3)",
    "lstm(layers=(2,)) >> blend(hidden=3)",
    # A partition of chains.
    "conv/* -> modulated(layers=(2,)) >> relative() >> pace(horizon=5.0) + * -> relative()",
    "cifar10-plain-lstm",  # a pretrained partition
]
SHAPES = {"conv.0.w": (2, 3), "out.w": (4,), "out.a": (), "out.none": (0,), "out.b": (3, 2)}

Theta = dict[str, torch.nn.Parameter]


def start(dtype: torch.dtype = torch.float32) -> Theta:
    draw = torch.Generator().manual_seed(0)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=draw).to(dtype))
        for name, shape in SHAPES.items()
    }


def feed(theta: Theta, t: int, skip: Sequence[str] = ()) -> None:
    """Give every parameter the gradient of step t, but for those without one."""
    draw = torch.Generator().manual_seed(100 + t)
    for name, p in theta.items():
        p.grad = torch.randn(p.shape, generator=draw).to(p.dtype)
        if name in skip:
            p.grad = None


def run(theta: Theta, optimizer: torch.optim.Optimizer, steps: range, skips: Any = ()) -> None:
    for t in steps:
        feed(theta, t, dict(skips).get(t, ()))
        optimizer.step()


def assert_same_bits(some: Theta, others: Theta) -> None:
    for name, p in some.items():
        assert p.dtype == others[name].dtype
        assert torch.equal(p, others[name]), name


def assert_close(some: Any, others: Any) -> None:
    for a, b in zip(some, others, strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-5, atol=1e-6)


# The equation.


@pytest.mark.parametrize(("weight_decay", "decay_lr"), [(0.0, 0.5), (0.1, 0.5), (0.1, None)])
def test_a_step_is_the_equation(
    weight_decay: float, decay_lr: float | None, saved: Callable
) -> None:
    theta, plain = start(), start()
    lr = 0.3
    options = {"lr": lr, "weight_decay": weight_decay, "decay_lr": decay_lr}
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM), **options)
    rate = lr if decay_lr is None else decay_lr
    twin = LearnedOptimizer(plain.values(), saved(LSTM))
    for t in range(4):
        for p in plain.values():
            p.data.zero_()
        feed(plain, t)
        twin.step()
        expected = [
            p - rate * weight_decay * p + lr * g
            for p, g in zip(theta.values(), plain.values(), strict=True)
        ]
        feed(theta, t)
        optimizer.step()
        assert_close(theta.values(), expected)


def test_a_group_has_an_lr_and_a_weight_decay_of_its_own(saved: Callable) -> None:
    theta, slow, fast = start(), start(), start()
    first, *rest = theta.values()
    own = {"weight_decay": 0.5, "decay_lr": 0.2}
    groups = [{"params": [first], "lr": 0.0}, {"params": rest, **own}]
    run(theta, LearnedOptimizer(groups, saved(LSTM), lr=0.1), range(3))
    run(slow, LearnedOptimizer(slow.values(), saved(LSTM), lr=0.0), range(3))
    run(fast, LearnedOptimizer(fast.values(), saved(LSTM), lr=0.1, **own), range(3))
    assert_close([first], [slow["conv.0.w"]])
    assert_close(rest, list(fast.values())[1:])


def test_how_parameters_are_grouped_changes_nothing_for_cells_that_average(saved: Callable) -> None:
    theta, grouped = start(), start()
    path = saved("lstm-gac(layers=(3, 2), averaging=2)")
    run(theta, LearnedOptimizer(theta.values(), path), range(3))
    groups = [{"params": [p]} for p in grouped.values()]
    run(grouped, LearnedOptimizer(groups, path), range(3))
    assert_same_bits(theta, grouped)


def test_a_scheduler_sets_the_factor(saved: Callable) -> None:
    theta, plain = start(), start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM), lr=0.5)
    twin = LearnedOptimizer(plain.values(), saved(LSTM))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.1**t)
    for t in range(3):
        for p in plain.values():
            p.data.zero_()
        feed(plain, t)
        twin.step()
        factor = 0.5 * 0.1**t
        expected = [p + factor * g for p, g in zip(theta.values(), plain.values(), strict=True)]
        feed(theta, t)
        optimizer.step()
        scheduler.step()
        assert_close(theta.values(), expected)


CYCLES: dict[str, dict[str, Any]] = {
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 10},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2},
}


@pytest.mark.parametrize("name", CYCLES)
def test_a_cycle_of_rates_goes_without_one_of_momenta(name: str, saved: Callable) -> None:
    """As `docs/pytorch.md` says."""
    theta = start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    make = getattr(torch.optim.lr_scheduler, name)
    with pytest.raises(ValueError, match="momentum"):
        make(optimizer, **CYCLES[name])
    scheduler, rates = make(optimizer, **CYCLES[name], cycle_momentum=False), []
    for t in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        feed(theta, t)
        optimizer.step()
        scheduler.step()
    assert rates[0] < rates[1] < rates[2] <= 1.0


def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned(saved: Callable) -> None:
    theta = torch.nn.Parameter(torch.ones(3))
    optimizer = LearnedOptimizer([theta], saved(LSTM))
    seen = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = theta.square().sum()
        loss.backward()
        seen.append(theta.detach().clone())
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert torch.equal(seen[0], torch.ones(3))
    assert not torch.equal(theta, seen[0])


# Gradients that are not there, and numbers of fewer bits.


@pytest.mark.parametrize("spec", [LSTM, KINDS[3]])
def test_a_parameter_without_a_gradient_keeps_its_value_and_its_state(
    spec: str, saved: Callable
) -> None:
    skips = {0: ["out.w"], 1: ["out.w", "conv.0.w"], 3: ["out.a", "out.b"], 4: ["out.w"]}
    theta, alone = start(), start()
    run(theta, LearnedOptimizer(theta.values(), saved(spec)), range(6), skips)
    for name, p in alone.items():
        run(alone, LearnedOptimizer([p], saved(spec)), range(6), skips)
        assert_close([theta[name]], [p])


def test_parameters_without_any_gradient_have_no_state(saved: Callable) -> None:
    theta = start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    optimizer.step()
    assert not optimizer.state
    run(theta, optimizer, range(1), {0: ["out.w"]})
    assert theta["out.w"] not in optimizer.state
    assert optimizer.state[theta["conv.0.w"]]["h0"].shape == (3, 2, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_an_update_is_rounded_once_and_its_state_is_float32(
    dtype: torch.dtype, saved: Callable
) -> None:
    theta, exact = start(dtype), start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    twin = LearnedOptimizer(exact.values(), saved(LSTM))
    for t in range(3):
        before = {name: p.detach().clone() for name, p in theta.items()}
        feed(theta, t)
        for name, p in exact.items():
            p.data.zero_()
            p.grad = theta[name].grad.float()
        optimizer.step()
        twin.step()
        for name, p in theta.items():
            assert torch.equal(p, before[name] + exact[name].to(dtype))
    assert all(
        h.dtype == torch.float32 for state in optimizer.state.values() for h in state.values()
    )


def test_parameters_of_several_dtypes_are_one_row(saved: Callable) -> None:
    """LSTM+GAC averages over all of them, whatever each is rounded to."""
    theta, exact = start(), start()
    path = saved("lstm-gac(layers=(3, 2), averaging=2)")
    theta["out.b"] = torch.nn.Parameter(theta["out.b"].detach().to(torch.float16))
    optimizer, twin = (LearnedOptimizer(each.values(), path) for each in (theta, exact))
    for t in range(3):
        feed(theta, t)
        for name, p in exact.items():
            p.grad = theta[name].grad.float()
        optimizer.step()
        twin.step()
    for name, p in theta.items():
        tolerance = 1e-2 if name == "out.b" else 1e-6
        torch.testing.assert_close(p.float(), exact[name], rtol=tolerance, atol=tolerance)


# States that are saved, copied and changed.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spec", KINDS)
def test_a_run_that_was_resumed_is_the_run(spec: str, dtype: torch.dtype, saved: Callable) -> None:
    skips = {0: ["out.w"], 2: ["out.b"], 4: ["conv.0.w", "out.w"]}
    path = spec if spec in zoo.names() else saved(spec)
    make = lambda theta: LearnedOptimizer(theta.items(), path, lr=0.7)  # noqa: E731
    whole, theta = start(dtype), start(dtype)
    run(whole, make(whole), range(7), skips)

    optimizer = make(theta)
    run(theta, optimizer, range(3), skips)
    file = io.BytesIO()
    torch.save([{name: p.detach() for name, p in theta.items()}, optimizer.state_dict()], file)
    file.seek(0)
    values, state = torch.load(file, weights_only=True)
    resumed = {name: torch.nn.Parameter(p) for name, p in values.items()}
    optimizer = make(resumed)
    optimizer.load_state_dict(state)
    run(resumed, optimizer, range(3, 7), skips)
    assert_same_bits(resumed, whole)


def test_a_state_that_was_loaded_is_nobody_elses(saved: Callable) -> None:
    theta, restored = start(), start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    run(theta, optimizer, range(1))
    state = optimizer.state_dict()
    before = copy.deepcopy(state["state"][0]["h0"])
    another = LearnedOptimizer(restored.values(), saved(LSTM))
    another.load_state_dict(state)
    run(restored, another, range(2))
    assert torch.equal(state["state"][0]["h0"], before)


def test_a_copy_of_the_optimizer_goes_on_like_it(saved: Callable) -> None:
    theta = start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    run(theta, optimizer, range(2))
    copied, twin = copy.deepcopy([theta, optimizer])
    run(theta, optimizer, range(2, 4))
    run(copied, twin, range(2, 4))
    assert_same_bits(copied, theta)


def test_a_state_that_the_caller_replaces_is_the_state(saved: Callable) -> None:
    theta, fresh = start(), start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    run(theta, optimizer, range(2))
    for p, q in zip(theta.values(), fresh.values(), strict=True):
        p.data.copy_(q.data)
    for state in optimizer.state.values():
        for name, h in state.items():
            state[name] = torch.zeros_like(h)
    run(theta, optimizer, range(2))
    run(fresh, LearnedOptimizer(fresh.values(), saved(LSTM)), range(2))
    assert_same_bits(theta, fresh)


def test_a_group_may_join_later(saved: Callable) -> None:
    theta, early, late = start(), start(), start()
    first, *rest = theta.values()
    optimizer = LearnedOptimizer([first], saved(LSTM))
    run(theta, optimizer, range(2))
    optimizer.add_param_group({"params": rest, "lr": 0.5})
    run(theta, optimizer, range(2, 4))
    run(early, LearnedOptimizer(early.values(), saved(LSTM)), range(4))
    run(late, LearnedOptimizer(late.values(), saved(LSTM), lr=0.5), range(2, 4))
    assert_close([first], [early["conv.0.w"]])
    assert_close(rest, list(late.values())[1:])


def test_a_hook_may_change_what_is_loaded(saved: Callable) -> None:
    theta, fresh = start(), start()
    optimizer = LearnedOptimizer(theta.values(), saved(LSTM))
    run(theta, optimizer, range(2))
    blank = LearnedOptimizer(fresh.values(), saved(LSTM))
    blank.register_load_state_dict_pre_hook(lambda _, given: given | {"state": {}})
    blank.load_state_dict(optimizer.state_dict())
    assert not blank.state


# Sentences.


def test_a_sparse_gradient_is_refused(saved: Callable, sentence: Callable) -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = LearnedOptimizer(table.named_parameters(), saved(LSTM))
    table(torch.tensor([1])).sum().backward()
    assert sentence(optimizer.step) == (
        "the gradient of the parameter weight is sparse and must be dense; try sparse=False in the "
        "embedding"
    )


def test_a_complex_parameter_is_refused_and_nothing_is_added(
    saved: Callable, sentence: Callable
) -> None:
    optimizer = LearnedOptimizer(start().values(), saved(LSTM))
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    assert sentence(optimizer.add_param_group, {"params": [theta]}) == (
        "a parameter of shape (2,) is torch.complex64 and must be real; split it into real and "
        "imaginary parts"
    )
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("option", ["lr", "weight_decay"])
def test_a_negative_option_is_refused(option: str, saved: Callable, sentence: Callable) -> None:
    given: dict[str, Any] = {option: -0.5}
    assert sentence(LearnedOptimizer, start().values(), saved(LSTM), **given) == (
        f"{option} is -0.5 and must be at least 0"
    )


def test_a_misspelt_name_gets_a_hint(sentence: Callable) -> None:
    assert sentence(LearnedOptimizer, start().values(), "mnist-lsmt") == (
        "there is no pretrained optimizer and no file 'mnist-lsmt'; did you mean 'mnist-lstm'?"
    )


def test_the_state_of_another_optimizer_is_refused_and_the_own_one_kept(
    saved: Callable, sentence: Callable
) -> None:
    theta, whole = start(), start()
    optimizer = LearnedOptimizer(theta.items(), saved(LSTM))
    run(theta, optimizer, range(2))
    adam = torch.optim.Adam(theta.values(), lr=0.0)
    adam.step()
    assert sentence(optimizer.load_state_dict, adam.state_dict()) == (
        "the state of the parameter conv.0.w has exp_avg, exp_avg_sq, step where c0, c1, h0, h1 "
        "are expected; it was saved from another optimizer"
    )
    run(theta, optimizer, range(2, 4))
    run(whole, LearnedOptimizer(whole.items(), saved(LSTM)), range(4))
    assert_same_bits(theta, whole)


def test_the_state_of_another_model_is_refused(saved: Callable, sentence: Callable) -> None:
    theta = {"w": torch.nn.Parameter(torch.zeros(2, 3))}
    flat = {"w": torch.nn.Parameter(torch.zeros(6))}
    optimizer = LearnedOptimizer(theta.items(), saved(LSTM))
    run(theta, optimizer, range(1))
    assert sentence(
        LearnedOptimizer(flat.items(), saved(LSTM)).load_state_dict, optimizer.state_dict()
    ) == (
        "h0 of the parameter w has shape (3, 2, 3) where (3, 6) is expected; it was saved from "
        "another optimizer or model"
    )


def test_averages_do_not_span_devices(saved: Callable, sentence: Callable) -> None:
    theta = [torch.nn.Parameter(torch.zeros(2, device=device)) for device in ("cpu", "meta")]
    optimizer = LearnedOptimizer(theta, saved("lstm-gac(layers=(3, 2), averaging=2)"))
    for p in theta:
        p.grad = torch.ones_like(p)
    assert sentence(optimizer.step) == (
        "the parameters are on cpu and meta and this optimizer averages over all of them; put them "
        "on one device"
    )


# At work.


@pytest.mark.parametrize("name", ["mnist-lstm", "mlp-robust-lstm"])
def test_it_trains_a_network(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 10)
    )
    optimizer = LearnedOptimizer(model.parameters(), name)

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(x), y)

    first = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.5 * first


@pytest.mark.parametrize("lr", [0.0, torch.tensor(0.0)])
@pytest.mark.parametrize("decay_lr", [1e-3, torch.tensor(1e-3), None])
def test_with_lr_0_it_trains_nothing(
    lr: float | torch.Tensor, decay_lr: float | torch.Tensor | None, saved: Callable
) -> None:
    """As PyTorch makes h₀ by such a step, before it loads a distributed checkpoint."""
    theta = start()
    options: dict[str, Any] = {"weight_decay": 0.5, "decay_lr": decay_lr}
    run(theta, LearnedOptimizer(theta.values(), saved(LSTM), lr=lr, **options), range(3))
    assert_same_bits(theta, start())


# Without JAX.

PROGRAM = """
import sys, torch, metadescent.torch
theta = torch.nn.Parameter(torch.ones(3))
optimizer = metadescent.torch.LearnedOptimizer([theta], "mlp-robust-lstm")
theta.square().sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
assert (theta < 1).all()
print(*{name.partition(".")[0] for name in sys.modules} & {"equinox", "jax", "jaxlib", "optax"})
"""


@pytest.mark.slow
def test_a_step_is_taken_without_jax() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_without_pytorch_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules['torch'] = None; import metadescent.torch"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "metadescent.torch needs PyTorch; try pip install 'metadescent[torch]'" in done.stderr


def test_the_file_may_be_a_run_folder(tmp_path: Path, saved: Callable) -> None:
    (tmp_path / "optimizer.safetensors").write_bytes(saved(LSTM).read_bytes())
    theta, of_file = start(), start()
    run(theta, LearnedOptimizer(theta.values(), tmp_path), range(1))
    run(of_file, LearnedOptimizer(of_file.values(), saved(LSTM)), range(1))
    assert_same_bits(theta, of_file)


@pytest.mark.parametrize("name", ["mnist-lstm", "mnist-gac", "classifier-lstm"])
@pytest.mark.parametrize("shape", [(4, 3), (12,), (300, 4), (2,)])
def test_a_parameter_whose_data_changed_its_shape_is_refused(
    name: str, shape: tuple[int, ...], sentence: Callable
) -> None:
    """AdamW raises too; a kernel would write past h."""
    p = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = LearnedOptimizer([p], name)
    p.grad = torch.ones(3, 4)
    optimizer.step()
    p.data = torch.ones(shape)
    p.grad = torch.ones(shape)
    said = sentence(optimizer.step)
    assert f"of a parameter of shape {shape} has shape" in said
    assert "is expected; one of the two was given another" in said
    assert (p == 1).all()
    optimizer.state.pop(p)
    optimizer.step()
    assert not (p == 1).all()


def test_a_state_of_another_shape_put_there_by_hand_is_refused(sentence: Callable) -> None:
    p = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = LearnedOptimizer([p], "mnist-lstm")
    p.grad = torch.ones(3, 4)
    optimizer.step()
    optimizer.state[p]["h0"] = torch.zeros(20, 12)
    expected = "h0 of a parameter of shape (3, 4) has shape (20, 12) where (20, 3, 4) is expected"
    assert sentence(optimizer.step).startswith(expected)
