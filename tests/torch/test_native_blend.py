"""The kernel in C++ takes blend's step as PyTorch's operations do, and nobody needs it."""

import copy
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from metadescent.torch import LearnedOptimizer, native, native_blend
from metadescent.torch.row import Flat, Row
from metadescent.torch.rules.blend import BlendRule

pytestmark = pytest.mark.skipif(native.kernel() is None, reason="no C++ compiler")

SPEC = "blend(horizon=40.0, hidden=3)"
# Below, at and beyond a vector, a block that is whitened, and what one thread takes at once.
SHAPES = [
    *((), (1,), (15,), (16,), (33,), (8193,), (0,), (0, 4), (1, 1), (1, 9), (9, 1), (31, 33)),
    *((32, 32), (33, 33), (70, 40), (40, 70), (3, 5, 7), (1, 20, 6), (8, 0, 2), (6, 3, 3, 3)),
    *((2, 3, 1, 4), (32, 700)),
]
Theta = list[torch.nn.Parameter]


@contextmanager
def no_kernel() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(native, "kernel", lambda: None)
        yield


@contextmanager
def calls() -> Iterator[list[None]]:
    """Those of the kernel."""
    step, called = native_blend.fused_step, []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            native_blend, "fused_step", lambda *given: (called.append(None), step(*given))[1]
        )
        yield called


def randn(shape: tuple[int, ...], draw: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=draw)


def start(path: Path, shapes: list = SHAPES, **options: Any) -> tuple[Theta, LearnedOptimizer]:
    draw = torch.Generator().manual_seed(0)
    theta = [torch.nn.Parameter(randn(shape, draw)) for shape in shapes]
    return theta, LearnedOptimizer(theta, path, **options)


def feed(theta: Theta, t: int, size: float = 1.0) -> None:
    """∇ of many magnitudes, a third of it 0."""
    draw = torch.Generator().manual_seed(100 + t)
    for p in theta:
        drawn = randn((3, *p.shape), draw)
        p.grad = (size * drawn[0] * torch.exp(drawn[1]) * (drawn[2] > -0.4)).to(p.dtype)


def both(path: Path, run: Callable[[Theta, LearnedOptimizer], None], **options: Any) -> list[Any]:
    """Return θ and the optimizer after what is run with the kernel, and without."""
    ways = []
    for is_plain in (False, True):
        theta, optimizer = start(path, **options)
        with no_kernel() if is_plain else nullcontext(), calls() as called:
            run(theta, optimizer)
        assert bool(called) is not is_plain
        ways.append((theta, optimizer))
    return ways


def assert_alike(ways: list[Any], before: Theta, rtol: float = 1e-4) -> None:
    """θ has gone the same way, but for rounding beside a tensor's typical step; and h."""
    (ours, optimizer), (theirs, twin) = ways
    for p, q, x in zip(ours, theirs, before, strict=True):
        step = (q - x).detach().float()
        far = float(step.square().mean().sqrt()) if step.isfinite().all() and step.numel() else 0.0
        torch.testing.assert_close(p, q, rtol=1e-5, atol=rtol * far, equal_nan=True)
        for name, h in twin.state[q].items():
            scale = float(h.float().abs().max()) if h.numel() and h.isfinite().all() else 1.0
            given = optimizer.state[p][name]
            torch.testing.assert_close(given, h, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)


@pytest.mark.parametrize("size", [0.0, 1e-15, 1.0, 1e15])
def test_a_step_is_that_of_the_operations(size: float, saved: Callable) -> None:
    def run(theta: Theta, optimizer: LearnedOptimizer) -> None:
        for t in range(4):
            feed(theta, t, size)
            # Some lag behind, so that clocks differ.
            for p in theta[t :: 4 + t]:
                p.grad = None
            optimizer.step()

    ways = both(saved(SPEC), run)
    assert_alike(ways, start(saved(SPEC))[0])
    assert len({float(h["t"]) for h in ways[0][1].state.values()}) == 3
    moved = [not torch.equal(p, x) for p, x in zip(ways[0][0], start(saved(SPEC))[0], strict=True)]
    assert sum(moved) == (0 if size == 0 else sum(p.numel() > 0 for p in ways[0][0]))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_not_finite_goes_where_it_goes_without(wrong: float, saved: Callable) -> None:
    def run(theta: Theta, optimizer: LearnedOptimizer) -> None:
        for t in range(2):
            feed(theta, t)
            for number, p in enumerate(theta):
                if t == 1 and number % 2 and p.numel():
                    p.grad.view(-1)[-1] = wrong
            optimizer.step()

    ways = both(saved(SPEC), run)
    broken = [sum(int((~p.isfinite()).sum()) for p in theta) for theta, _ in ways]
    assert broken[0] == broken[1] > 0
    assert_alike(ways, start(saved(SPEC))[0])


@pytest.mark.parametrize(
    "options",
    [
        {"maximize": True, "weight_decay": 0.1, "decay_lr": None},
        {"at_rest": True, "lr": 0.5},
        {"guard": True},
        {"steps": 7, "lr": torch.tensor(0.3)},
        {"state_dtype": torch.bfloat16},
    ],
    ids=str,
)
def test_options_do_what_they_do_without(options: dict, saved: Callable) -> None:
    def run(theta: Theta, optimizer: LearnedOptimizer) -> None:
        for t in range(4):
            feed(theta, t)
            if "guard" in options and t == 1:
                # What is kept of it squares to what is none, and h begins anew.
                theta[15].grad[3] = 1e30
            optimizer.step()

    ways = both(saved(SPEC), run, **options)
    assert_alike(ways, start(saved(SPEC))[0])
    if "guard" in options:
        assert ways[0][1].guarded == ways[1][1].guarded
        assert ways[0][1].guarded["replaced"] > 0
        assert {float(h["t"]) for h in ways[0][1].state.values()} == {2.0}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_theta_of_other_dtypes_is_read_in_float32(dtype: torch.dtype, saved: Callable) -> None:
    ways = []
    for is_plain in (False, True):
        theta, _ = start(saved(SPEC))
        theta = [torch.nn.Parameter(p.detach().to(dtype)) for p in theta]
        optimizer = LearnedOptimizer(theta, saved(SPEC))
        with no_kernel() if is_plain else nullcontext(), calls() as called:
            for t in range(3):
                feed(theta, t)
                optimizer.step()
        assert bool(called) is not is_plain
        ways.append(theta)
    unit = max(torch.finfo(dtype).eps, 1e-5)
    for p, q in zip(*ways, strict=True):
        torch.testing.assert_close(p, q, rtol=2 * unit, atol=unit)


def test_a_sign_that_is_not_in_memory_counts(saved: Callable) -> None:
    def run(theta: Theta, optimizer: LearnedOptimizer, is_apart: bool) -> None:
        feed(theta, 0)
        for p in theta:
            p.grad = torch._neg_view(-p.grad) if is_apart else p.grad
        optimizer.step()

    ways = [start(saved(SPEC)) for _ in range(2)]
    for is_apart, way in enumerate(ways):
        run(*way, bool(is_apart))
    assert_alike(ways, start(saved(SPEC))[0])


def test_theta_and_gradients_may_lie_in_any_order(saved: Callable) -> None:
    def turn(x: torch.Tensor) -> torch.Tensor:
        return x.mT.contiguous().mT if x.ndim > 1 else x

    def run(theta: Theta, optimizer: LearnedOptimizer) -> None:
        for p in theta:
            p.data = turn(p.data)
        for t in range(3):
            feed(theta, t)
            for p in theta:
                p.grad = turn(p.grad)
            optimizer.step()

    ways = both(saved(SPEC), run)
    assert not all(p.is_contiguous() for p in ways[0][0])
    assert_alike(ways, start(saved(SPEC))[0])

    def straight(theta: Theta, optimizer: LearnedOptimizer) -> None:
        for t in range(3):
            feed(theta, t)
            optimizer.step()

    assert_alike([ways[0], both(saved(SPEC), straight)[0]], start(saved(SPEC))[0])


def test_a_program_may_have_defaults_of_its_own(saved: Callable) -> None:
    shapes = [(4, 6), (11,)]
    bits = []
    for dtype, device in ((torch.float32, "cpu"), (torch.float64, "meta")):
        theta, optimizer = start(saved(SPEC), shapes)
        feed(theta, 0)
        before = torch.get_default_dtype()
        try:
            torch.set_default_dtype(dtype)
            with torch.device(device):
                optimizer.state.clear()
                native_blend._known.cache_clear()
                optimizer.step()
        finally:
            torch.set_default_dtype(before)
        bits.append(torch.cat([p.detach().reshape(-1) for p in theta]))
    assert torch.equal(*bits)


def test_the_number_of_threads_changes_no_bit(saved: Callable) -> None:
    """With one tensor that threads share and many that they divide."""
    by_threads, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            theta, optimizer = start(saved(SPEC), [(300, 500), (70_000, 2), *SHAPES])
            for t in range(2):
                feed(theta, t)
                optimizer.step()
            h = [x for p in theta for x in optimizer.state[p].values()]
            by_threads.append(torch.cat([x.detach().reshape(-1) for x in (*theta, *h)]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(by_threads[0], by_threads[1])
    assert torch.equal(by_threads[0], by_threads[2])


def test_a_run_that_goes_on_has_the_bits_of_one_that_never_stopped(saved: Callable) -> None:
    theta, optimizer = start(saved(SPEC))
    for t in range(2):
        feed(theta, t)
        optimizer.step()
    other = [torch.nn.Parameter(p.detach().clone()) for p in theta]
    resumed = LearnedOptimizer(other, saved(SPEC))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for t in range(2, 4):
        for params, m in ((theta, optimizer), (other, resumed)):
            feed(params, t)
            m.step()
    assert all(map(torch.equal, theta, other))
    for p, q in zip(theta, other, strict=True):
        assert all(torch.equal(x, resumed.state[q][k]) for k, x in optimizer.state[p].items())


def row_of(theta: Theta) -> Row:
    """A row of parameters at rest, as an optimizer makes it."""
    rule, states = BlendRule(hidden=3), []
    for p in theta:
        leaves = {name: torch.zeros(p.numel()) for name in rule.state_shapes()}
        leaves |= {"figures": torch.zeros(7, 1), "t": torch.zeros(1)}
        addresses = b"".join(x.data_ptr().to_bytes(8, "little") for x in leaves.values())
        states.append(Flat(p.numel(), leaves, addresses))
    names = rule.state_shapes(), rule.tensor_shapes()
    return Row.of(names[0], states, torch.device("cpu"), names[1], blockwise=False)


def test_it_steps_where_it_can() -> None:
    class Other(torch.nn.Parameter):
        pass

    theta = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
    row = row_of(theta)
    first, second = gradients = [torch.ones(6), torch.ones(4)]
    assert native_blend.can_step(row, theta, gradients)
    assert not native_blend.can_step(row, [theta[0], Other(torch.ones(4))], gradients)
    assert not native_blend.can_step(row, theta, [first, second.double()])
    assert not native_blend.can_step(row, theta, [first, second.to("meta")])
    assert not native_blend.can_step(row, theta, [first, torch.ones(8)[::2]])
    assert not native_blend.can_step(row, theta, [first, torch.ones(()).expand(4)])
    assert not native_blend.can_step(row, theta, [first, theta[1]])
    with no_kernel():
        assert not native_blend.can_step(row_of(theta), theta, gradients)


def given(theta: Theta) -> list[Any]:
    phi = {name: torch.ones(shape) for name, shape in BlendRule(hidden=3).phi_shapes().items()}
    gradients = [torch.ones(p.numel()) for p in theta]
    return [phi, gradients, row_of(theta), theta, [torch.ones(len(theta))] * 5, 0.1]


def shorter(phi: dict, name: str) -> None:
    phi[name] = phi[name][..., :-1].contiguous()


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("φ", lambda g: shorter(g[0], "p")),
        ("φ", lambda g: shorter(g[0], "W_1")),
        ("φ", lambda g: shorter(g[0], "b_2")),
        ("φ", lambda g: g[0].update(W_2=g[0]["W_2"].double())),
        ("φ", lambda g: g[0].update(W_2=torch.ones(3, 5).mT)),
        ("h", lambda g: g[2].places.addresses.__setitem__(0, 0)),
        ("h", lambda g: g[2].places.addresses.__setitem__(-1, 0)),
        ("h", lambda g: g[2].which.update(square=5)),
        ("∇, θ or g", lambda g: g[1][1].untyped_storage().resize_(8)),
        ("∇, θ or g", lambda g: g.__setitem__(3, [g[3][1], g[3][0]])),
        ("∇, θ or g", lambda g: g[3][0].data.untyped_storage().resize_(0)),
        ("∇, θ or g", lambda g: g[3][0].data.untyped_storage().resize_(20)),
        ("the numbers", lambda g: g.__setitem__(4, [torch.ones(3)] * 5)),
        ("the numbers", lambda g: g.__setitem__(4, [torch.ones(2)] * 4)),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_touched(
    what: str, change: Callable, sentence: Callable
) -> None:
    theta = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
    arguments = given(theta)
    change(arguments)
    said = sentence(native_blend.fused_step, *arguments)
    assert said.startswith(f"the kernel of blend cannot take {what}")
    row = arguments[2]
    leaves = [x for xs in (*row.leaves.values(), *row.of_tensors.values()) for x in xs]
    assert all((x == 0).all() for x in leaves)


def test_a_step_of_no_tensors_is_none() -> None:
    library = native.kernel()
    assert library is not None
    parts = (ctypes.c_int64 * 10)(0, 5, 0, 0, 5, 0, 1, 2, 3, 4)
    shapes = BlendRule(hidden=3).phi_shapes()
    phi = native.matrices([torch.ones(shapes[name]) for name in native_blend.PHI])
    numbers = [native.matrices([torch.ones(0, n)]) for n in (24, 4)]
    assert library.metadescent_blend_step(phi, parts, None, *numbers, 1) == 0
