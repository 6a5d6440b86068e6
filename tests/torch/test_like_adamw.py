"""What people do with `torch.optim.AdamW` works with a learned optimizer too."""

import copy
import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save

from metadescent.torch import LearnedOptimizer

MAKERS: dict[str, Callable] = {
    "AdamW": torch.optim.AdamW,
    "coordinates": lambda params, **options: LearnedOptimizer(params, "mlp-robust-lstm", **options),
    "a chain": lambda params, **options: LearnedOptimizer(params, "classifier-lstm", **options),
}
BLEND = "blend(horizon=50.0)"
every_maker = pytest.mark.parametrize(
    "make", [*MAKERS.values(), BLEND], ids=[*MAKERS, "tensors"], indirect=True
)


@pytest.fixture
def make(request: pytest.FixtureRequest, saved: Callable) -> Callable:
    if request.param != BLEND:
        return request.param
    return lambda params, **options: LearnedOptimizer(params, saved(BLEND), **options)


def ones(*shape: int, **options: Any) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.ones(shape, **options))
    p.grad = torch.ones_like(p)
    return p


def stepped(make: Callable, p: Any, **options: Any) -> Any:
    optimizer = make([p], **options)
    optimizer.step()
    return p.detach().clone()


@every_maker
def test_a_lazy_layer_has_its_shape_later(make: Callable) -> None:
    layer = torch.nn.LazyLinear(3)
    optimizer = make(layer.named_parameters())
    optimizer.step()
    layer(torch.ones(2, 4)).sum().backward()
    before = layer.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(layer.weight, before)


@every_maker
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_rate_may_be_a_tensor(make: Callable, shape: tuple[int, ...]) -> None:
    rate = torch.full(shape, 0.25)
    expected = stepped(make, ones(3), lr=0.25)
    torch.testing.assert_close(stepped(make, ones(3), lr=rate), expected)
    half = ones(3, dtype=torch.bfloat16)
    assert stepped(make, half, lr=rate).dtype == torch.bfloat16
    # A scheduler, or a program, changes it where it lies.
    p = ones(3)
    optimizer = make([p], lr=rate, weight_decay=0.5)
    # AdamW's decay goes with its rate, a learned optimizer's where it is told to.
    optimizer.param_groups[0]["decay_lr"] = None
    optimizer.param_groups[0]["lr"].fill_(0.0)
    optimizer.step()
    assert torch.equal(p, torch.ones(3))
    twin = make([ones(3)], lr=1.0)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert isinstance(twin.param_groups[0]["lr"], torch.Tensor)


@every_maker
def test_a_group_may_go_up(make: Callable) -> None:
    down, up = ones(3), ones(3)
    up.grad = -torch.ones(3)
    make([{"params": [down]}, {"params": [up], "maximize": True}], weight_decay=0.0).step()
    assert torch.equal(down, up)
    assert torch.equal(stepped(make, ones(3), maximize=True, weight_decay=0.0) > 1, down < 1)


@every_maker
def test_the_parameters_of_a_named_group_may_be_others(make: Callable) -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = make(layer.named_parameters())
    optimizer.param_groups[0]["params"] = [layer.bias]
    layer.bias.grad = torch.ones(2)
    before = layer.bias.detach().clone()
    optimizer.step()
    assert not torch.equal(layer.bias, before)


@every_maker
def test_where_tensors_are_made_by_default_is_no_matter(make: Callable) -> None:
    with torch.device("meta"):
        optimizer = make([p := ones(3, device="cpu")])
    optimizer.step()
    assert p.device.type == "cpu"
    assert (p < 1).all()
    make([ones(3, device="meta")]).step()


@every_maker
def test_a_state_is_as_large_as_its_numbers(make: Callable) -> None:
    params = [ones(8, 8) for _ in range(30)]
    optimizer = make(params)
    optimizer.step()
    state = optimizer.state_dict()
    numbers = sum(x.numel() * x.element_size() for h in state["state"].values() for x in h.values())
    file = io.BytesIO()
    torch.save(state["state"][0], file)
    assert file.tell() < numbers / 30 + 10_000
    assert len(pickle.dumps(state)) < 1.5 * numbers + 300_000
    assert len(pickle.dumps(copy.deepcopy(optimizer))) < 1.5 * numbers + 500_000
    assert save(dict(optimizer.state[params[0]]))


@pytest.mark.parametrize("name", ["general", "mlp-robust-lstm"])
def test_a_pickle_of_64_states_is_little_more_than_their_numbers(name: str) -> None:
    optimizer = LearnedOptimizer([ones(32, 32) for _ in range(64)], name)
    optimizer.step()
    state = optimizer.state_dict()
    numbers = sum(x.numel() * x.element_size() for h in state["state"].values() for x in h.values())
    assert numbers < len(pickle.dumps(state)) < 1.2 * numbers


@every_maker
def test_a_tensor_may_lie_in_any_order_and_be_tied(make: Callable) -> None:
    draw = torch.Generator().manual_seed(0)
    x, gradient = torch.randn(2, 4, 3, 5, generator=draw), torch.randn(2, 4, 3, 5, generator=draw)
    values = []
    for order in (torch.contiguous_format, torch.channels_last):
        p = torch.nn.Parameter(x.clone(memory_format=order))
        p.grad = gradient.clone(memory_format=order)
        values.append(stepped(make, p).contiguous())
    assert torch.equal(*values)
    strided = torch.nn.Parameter(torch.ones(6, 4)[::2].T)
    strided.grad = torch.ones(4, 3)
    assert torch.equal(stepped(make, strided), stepped(make, ones(4, 3)))


def test_a_parameter_that_has_another_shape_is_refused_in_a_sentence(sentence: Callable) -> None:
    for size in (3, 4, 70_000):
        p = ones(2, 2)
        optimizer = LearnedOptimizer([("w", p)], "mnist-lstm")
        optimizer.step()
        p.data = torch.ones(size)
        p.grad = torch.ones(size)
        assert sentence(optimizer.step) == (
            f"h0 of the parameter w has shape (20, 2, 2) where (20, {size}) is expected; "
            "one of the two was given another; optimizer.state.pop(parameter) begins anew"
        )
        del optimizer.state[p]
        optimizer.step()
    p.data = torch.ones(2)
    assert sentence(optimizer.step) == (
        "the gradient of the parameter w has shape (70000,) and must have its parameter's; "
        "call backward() again"
    )


# Weight decay.


@pytest.mark.parametrize("lr", [0.5, 1.0])
def test_numbers_of_adamw_s_decay_are_as_strong_whatever_lr_is(lr: float) -> None:
    """Where a gradient is 0 only decay moves θ."""
    values = []
    for make, options in (
        (MAKERS["AdamW"], {}),  # lr 1e-3
        (MAKERS["coordinates"], {"at_rest": True, "lr": lr}),
        (MAKERS["AdamW"], {"lr": 3e-4}),
        (MAKERS["coordinates"], {"at_rest": True, "lr": lr, "decay_lr": 3e-4}),
    ):
        p = torch.nn.Parameter(torch.linspace(-2, 2, 5))
        optimizer = make([p], weight_decay=0.1, **options)
        for _ in range(20):
            p.grad = torch.zeros(5)
            optimizer.step()
        values.append(p.detach())
    torch.testing.assert_close(values[1], values[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(values[3], values[2], rtol=1e-6, atol=0)
    assert (values[0][:2] > values[2][:2]).all()


@pytest.mark.parametrize(("decay_lr", "left"), [(0.5, 0.75), (None, 0.875)])
def test_a_schedule_of_lr_is_decay_s_where_it_goes_with_lr(decay_lr: Any, left: float) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = LearnedOptimizer(
        [p], "mnist-lstm", weight_decay=0.5, decay_lr=decay_lr, at_rest=True
    )
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.25)
    p.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(p, torch.full((3,), left))


# Who it is.


def test_it_says_which_optimizer_it_is(saved: Callable) -> None:
    optimizer = LearnedOptimizer([ones(3)], "mnist-lstm")
    group = optimizer.state_dict()["param_groups"][0]
    assert group["optimizer"] == "mnist-lstm"
    assert len(group["fingerprint"]) == 12
    assert optimizer.identity == {name: group[name] for name in ("optimizer", "fingerprint")}
    for name in optimizer.identity:
        assert f"{name}: {group[name]}" in repr(optimizer)
    # The same file under another name is the same optimizer.
    optimizer.load_state_dict(
        LearnedOptimizer([ones(3)], optimizer_path("mnist-lstm")).state_dict()
    )
    optimizer.add_param_group({"params": [ones(2)], "fingerprint": "mine"})
    assert optimizer.param_groups[1]["fingerprint"] == group["fingerprint"]


def optimizer_path(name: str) -> Any:
    from metadescent import zoo

    return zoo.path(name)


def test_the_state_of_another_phi_is_refused_and_nothing_changed(sentence: Callable) -> None:
    mine, theirs = (LearnedOptimizer([ones(3)], f"{name}-lstm") for name in ("mnist", "quadratic"))
    theirs.step()
    prints = [o.param_groups[0]["fingerprint"] for o in (theirs, mine)]
    assert sentence(mine.load_state_dict, theirs.state_dict()) == (
        f"the state was saved from quadratic-lstm of fingerprint {prints[0]} and this is "
        f"mnist-lstm of {prints[1]}; load it into LearnedOptimizer(params, 'quadratic-lstm')"
    )
    assert mine.param_groups[0]["optimizer"] == "mnist-lstm"
    assert not mine.state


def test_a_state_of_before_there_were_fingerprints_is_taken() -> None:
    old, new = (LearnedOptimizer([ones(3)], "mnist-lstm") for _ in range(2))
    old.step()
    state = old.state_dict()
    added = ("optimizer", "fingerprint", "maximize", "at_rest", "state_dtype", "decay_lr", "steps")
    for name in added:
        del state["param_groups"][0][name]
    new.load_state_dict(state)
    # Decay went with lr then.
    before = {"params": 0, "decay_lr": None}
    assert new.param_groups[0] | {"params": 0} == old.param_groups[0] | before
    new.step()


@every_maker
def test_flags_of_how_a_step_is_computed_are_taken(make: Callable) -> None:
    for flags in ({"foreach": True}, {"foreach": False}, {"fused": True}, {"foreach": None}):
        torch.testing.assert_close(stepped(make, ones(3), **flags), stepped(make, ones(3)))
    stepped(make, ones(3), capturable=False, differentiable=False)


@pytest.mark.parametrize(
    ("flag", "done"), [("capturable", "captured in a graph"), ("differentiable", "differentiated")]
)
def test_a_flag_that_no_step_heeds_is_refused(flag: str, done: str, sentence: Callable) -> None:
    expected = f"{flag} is True and a learned optimizer's step cannot be {done}; leave it out"
    assert sentence(LearnedOptimizer, [ones(3)], "mnist-lstm", **{flag: True}) == expected
    group = {"params": [ones(3)], flag: True}
    assert sentence(LearnedOptimizer, [group], "mnist-lstm") == expected


@pytest.mark.parametrize("rate", [1e-3, torch.tensor(1e-3)])
def test_a_rate_of_adam_s_is_told_to_be_a_factor(rate: Any) -> None:
    expected = (
        "lr is 0.001, and of a learned optimizer it is a factor on the step and no rate; leave it "
        "out, as 1 is what it was trained for"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(expected)}$"):
        LearnedOptimizer([ones(3)], "mnist-lstm", lr=rate)
    optimizer = LearnedOptimizer([{"params": [ones(3)], "lr": 0.02}], "mnist-lstm")
    with pytest.warns(UserWarning, match=r"^lr is 0\.01, and"):
        optimizer.add_param_group({"params": [ones(2)], "lr": 0.01})


def test_of_a_rate_that_has_fallen_so_low_nothing_is_told() -> None:
    """A scheduler may have set it, and a run may go on from there."""
    optimizer, twin = (LearnedOptimizer([ones(3)], "mnist-lstm") for _ in range(2))
    optimizer.param_groups[0]["lr"] = 1e-4
    optimizer.step()
    twin.load_state_dict(optimizer.state_dict())
    twin.step()
    LearnedOptimizer([ones(3)], "mnist-lstm", lr=0.0)
