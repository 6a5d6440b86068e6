"""What is kept of parameters and h from step to step is theirs, whatever a program did between."""

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metadescent.torch import LearnedOptimizer, native
from metadescent.torch.member import SMALL

SPECS = [
    "lstm(layers=(3, 2))",
    "rnnprop(layers=(2,))",
    "lstm-gac(layers=(3,), averaging=1) >> pace(horizon=5.0, corners=3)",
    "blend(horizon=5.0, hidden=3)",
]
# Below and above what is kept; one as long as an LSTM has units, so that a state of it is square.
SHAPES = [(), (3,), (2, 2), (0, 2), (5, 7), (2,), (SMALL + 1,), (31,)]

Theta = list[torch.nn.Parameter]


def each(change: Callable[[dict, str], Any]) -> Callable:
    """What changes every leaf of every state."""

    @functools.wraps(change)
    def door(theta: Theta, optimizer: LearnedOptimizer) -> None:
        for state in optimizer.state.values():
            for name in [*state]:
                change(state, name)

    return door


def half(x: torch.Tensor) -> torch.Tensor:
    return (0.5 * x).to(x.dtype)


def replaced(state: dict, name: str) -> None:
    state[name] = half(state[name])


def given_data(state: dict, name: str) -> None:
    state[name].data = half(state[name].data)


def given_doubles(state: dict, name: str) -> None:
    state[name].data = 0.5 * state[name].double()


def changed_in_place(state: dict, name: str) -> None:
    state[name].copy_(half(state[name]))


def set_to_another(state: dict, name: str) -> None:
    state[name].set_(half(state[name]))


def given_more_memory(state: dict, name: str) -> None:
    memory = state[name].untyped_storage()
    memory.resize_(memory.nbytes() + 64)


def transposed(state: dict, name: str) -> None:
    if state[name].ndim == 2 and state[name].shape[0] == state[name].shape[1]:
        state[name].t_()


def in_shared_memory(state: dict, name: str) -> None:
    state[name].share_memory_()


def renamed(state: dict, name: str) -> None:
    # A part of a tensor that is larger.
    state[name] = torch.stack([state[name], state[name]])[1]


def made_parameters(state: dict, name: str) -> None:
    state[name] = torch.nn.Parameter(half(state[name]), requires_grad=False)


def popped(theta: Theta, optimizer: LearnedOptimizer) -> None:
    optimizer.state.pop(theta[1])
    optimizer.state.pop(theta[-2])


def parameters_moved(theta: Theta, optimizer: LearnedOptimizer) -> None:
    for p in theta:
        p.data = p.data.clone()


def parameters_reshaped(theta: Theta, optimizer: LearnedOptimizer) -> None:
    for p in theta:
        for name, h in optimizer.state[p].items():
            # These are of the tensor as a whole.
            if name in ("figures", "t"):
                continue
            h.data = h.data.reshape(*h.shape[: h.ndim - p.ndim], -1)
            optimizer.state[p][name] = h
        p.data, p.grad = p.data.reshape(-1), None


def loaded(theta: Theta, optimizer: LearnedOptimizer) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def joined(theta: Theta, optimizer: LearnedOptimizer) -> None:
    theta.append(torch.nn.Parameter(torch.ones(4)))
    optimizer.add_param_group({"params": [theta[-1]], "at_rest": True})


def resting(theta: Theta, optimizer: LearnedOptimizer) -> None:
    for group in optimizer.param_groups:
        group["at_rest"] = not group["at_rest"]
    for state in optimizer.state.values():
        state.pop("awake", None)


def left_to_others(theta: Theta, optimizer: LearnedOptimizer) -> None:
    group = optimizer.param_groups[0]
    group["params"] = [theta[5], *theta[1:4]]


def grouped_anew(theta: Theta, optimizer: LearnedOptimizer) -> None:
    first = optimizer.param_groups[0]
    optimizer.param_groups[:] = [{**first, "params": theta[:3]}, {**first, "params": theta[3:]}]


DOORS: list[Callable] = [
    *map(each, (replaced, given_data, given_doubles, changed_in_place, set_to_another)),
    *map(each, (given_more_memory, transposed, in_shared_memory, renamed, made_parameters)),
    *(popped, parameters_moved, parameters_reshaped, loaded, joined, resting, left_to_others),
    grouped_anew,
]


def start(path: Path) -> tuple[Theta, LearnedOptimizer]:
    draw = torch.Generator().manual_seed(0)
    theta = [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]
    return theta, LearnedOptimizer(theta, path, at_rest=True)


def steps(theta: Theta, optimizer: LearnedOptimizer, seed: int, *, keep: bool) -> None:
    for t in range(2):
        draw = torch.Generator().manual_seed(10 * seed + t)
        for p in theta:
            p.grad = torch.randn(p.shape, generator=draw)
        if not keep:
            optimizer._forget()
        optimizer.step()


@pytest.fixture
def paths(saved: Callable) -> list[Path]:
    return [saved(spec) for spec in SPECS]


@pytest.mark.parametrize("has_kernel", [True, False])
@pytest.mark.parametrize("door", DOORS)
def test_whatever_is_done_between_steps_is_seen(
    door: Callable, has_kernel: bool, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_kernel:
        monkeypatch.setattr(native, "kernel", lambda: None)
    for path in paths:
        runs = []
        for keep in (True, False):
            theta, optimizer = start(path)
            steps(theta, optimizer, 1, keep=keep)
            door(theta, optimizer)
            steps(theta, optimizer, 2, keep=keep)
            # What other programs see of θ and h.
            runs.append([*theta, *(h for p in theta for h in optimizer.state[p].values())])
        assert all(map(torch.equal, *runs))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_shares_nothing(copied: Callable, saved: Callable) -> None:
    theta, optimizer = start(saved(SPECS[0]))
    steps(theta, optimizer, 1, keep=True)
    others, twin = copied((theta, optimizer))
    steps(theta, optimizer, 2, keep=True)
    before = [h.clone() for p in others for h in twin.state[p].values()]
    steps(theta, optimizer, 3, keep=True)
    assert all(map(torch.equal, before, [h for p in others for h in twin.state[p].values()]))
    steps(others, twin, 2, keep=True)
    steps(others, twin, 3, keep=True)
    assert all(map(torch.equal, theta, others))


def test_frozen_and_thawed_parameters_go_on_from_their_own_h(saved: Callable) -> None:
    theta, optimizer = start(saved(SPECS[0]))
    steps(theta, optimizer, 1, keep=True)
    h = {name: x.clone() for name, x in optimizer.state[theta[4]].items()}
    for t in range(3):
        for p in theta:
            p.grad = torch.full_like(p, 1.0 + t) if p is not theta[4] else None
        optimizer.step()
    assert all(torch.equal(x, h[name]) for name, x in optimizer.state[theta[4]].items())
    steps(theta, optimizer, 2, keep=True)
    alone = torch.nn.Parameter(torch.randn(5, 7))
    twin = LearnedOptimizer([alone], saved(SPECS[0]), at_rest=True)
    for seed in (1, 2):
        draw = [torch.Generator().manual_seed(10 * seed + t) for t in range(2)]
        for of in draw:
            alone.grad = [torch.randn(shape, generator=of) for shape in SHAPES][4]
            twin.step()
    for name, x in optimizer.state[theta[4]].items():
        assert torch.equal(x, twin.state[alone][name])


@pytest.mark.parametrize("shape", [(3,), (SMALL + 1,)])
def test_h_whose_memory_was_given_back_is_refused(shape: tuple, sentence: Callable) -> None:
    p = torch.nn.Parameter(torch.ones(shape))
    optimizer = LearnedOptimizer([("w", p), ("v", torch.nn.Parameter(torch.ones(2)))], "mnist-lstm")
    for q in optimizer.param_groups[0]["params"]:
        q.grad = torch.ones_like(q)
    optimizer.step()
    optimizer.state[p]["c1"].untyped_storage().resize_(0)
    assert sentence(optimizer.step) == (
        "c1 of the parameter w has lost its memory; optimizer.state.pop(parameter) begins anew"
    )
    optimizer.state.pop(p)
    optimizer.step()


def test_tied_weights_under_two_names_are_moved_once(saved: Callable) -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.head = torch.nn.Embedding(6, 3), torch.nn.Linear(3, 6, bias=False)
            self.head.weight = self.embedding.weight

    values = []
    path = saved("head/* -> rnnprop(layers=(2,)) + * -> lstm(layers=(2,))")
    for twice in (False, True):
        m = Tied()
        named = [*m.named_parameters(remove_duplicate=not twice)]
        assert len(named) == 1 + twice
        if twice:
            with pytest.warns(UserWarning, match="duplicate parameters"):
                optimizer = LearnedOptimizer(named, path)
        else:
            optimizer = LearnedOptimizer(named, path)
        for t in range(3):
            if t == 2:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer.zero_grad()
            m.head(m.embedding(torch.tensor([0, 1, 3]))).square().sum().backward()
            optimizer.step()
        assert m.head.weight is m.embedding.weight
        values.append(m.head.weight.detach())
        assert len(optimizer.state) == 1
    assert torch.equal(*values)


@pytest.mark.parametrize("spec", [*SPECS, "anytime(layers=(3, 2), betas=(0.5, 0.9))"])
def test_many_side_by_side_are_each_alone(spec: str, saved: Callable) -> None:
    """However they lie in tiles and blocks; of a GAC that is the sum over one."""
    if "gac" in spec:
        spec = "modulated(layers=(3,), clock=20.0)"
    draw = torch.Generator().manual_seed(0)
    sizes = [0, 1, 31, 32, 33, 130, 2, 1, 1, 700, 64, 3000, 5000, 17, 0, 4]
    gradients = [[torch.randn(n, generator=draw) for n in sizes] for _ in range(3)]
    theta = [torch.nn.Parameter(torch.zeros(n)) for n in sizes]
    alone = [torch.nn.Parameter(torch.zeros(n)) for n in sizes]
    optimizer = LearnedOptimizer(theta, saved(spec))
    others = [LearnedOptimizer([p], saved(spec)) for p in alone]
    for given in gradients:
        for p, q, g, other in zip(theta, alone, given, others, strict=True):
            p.grad, q.grad = g, g
            other.step()
        optimizer.step()
    for p, q, other in zip(theta, alone, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
        for name, x in other.state[q].items():
            torch.testing.assert_close(optimizer.state[p][name], x, rtol=1e-5, atol=1e-6)
