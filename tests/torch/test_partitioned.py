"""Several rules in one file: each parameter goes to the first that takes its name."""

from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import pytest
import torch

from metadescent.optimizers.lstm import LSTM
from metadescent.torch import LearnedOptimizer
from metadescent.torch.partitioned import WRAPPERS, number_of, read_groups
from metadescent.zoo.arrays import save_arrays
from metadescent.zoo.cards import FORMAT

PHI = jax.numpy.ones(0).dtype  # of a φ that is drawn; float64 with JAX's 64 bits on
TWO = "conv/* -> lstm(layers=(2,)) + fc/* -> rnnprop(layers=(3,))"


def parameters() -> list[tuple[str, torch.nn.Parameter]]:
    names = ("conv.0.weight", "fc.weight", "conv.0.bias")
    return [(name, torch.nn.Parameter(torch.zeros(2, 3))) for name in names]


def step(optimizer: torch.optim.Optimizer, named: list[tuple[str, torch.nn.Parameter]]) -> None:
    for number, (_, p) in enumerate(named):
        p.grad = torch.full_like(p, number + 1.0)
    optimizer.step()


def test_the_first_group_that_takes_a_name_has_the_parameter(saved: Callable) -> None:
    groups = read_groups(saved("conv/* -> lstm(layers=(2,)) + * -> rnnprop(layers=(3,))"))
    names = ["conv.0.weight", "conv.bias", "fc.weight", "conv", "preconv.weight"]
    assert [number_of(groups, name, (1,)) for name in names] == [0, 0, 1, 1, 1]


def test_each_parameter_has_the_state_of_its_rule(saved: Callable) -> None:
    named = parameters()
    optimizer = LearnedOptimizer(named, saved(TWO))
    step(optimizer, named)
    assert [sorted(optimizer.state[p]) for _, p in named] == [
        ["c0", "h0"],
        ["c0", "h0", "m", "s", "w"],
        ["c0", "h0"],
    ]


def test_a_partition_of_one_group_needs_no_names(saved: Callable) -> None:
    theta = torch.nn.Parameter(torch.zeros(3))
    optimizer = LearnedOptimizer([theta], saved("* -> lstm(layers=(2,))"))
    theta.grad = torch.ones(3)
    optimizer.step()
    assert theta.all()


def test_names_are_asked_for_where_patterns_need_them(saved: Callable, sentence: Callable) -> None:
    assert sentence(LearnedOptimizer, [p for _, p in parameters()], saved(TWO)) == (
        "this optimizer has a rule for conv/* and the parameters have no names; pass "
        "model.named_parameters()"
    )


def test_a_parameter_that_no_group_takes_is_named(saved: Callable, sentence: Callable) -> None:
    named = [*parameters(), ("head.weight", torch.nn.Parameter(torch.zeros(2)))]
    assert sentence(LearnedOptimizer, named, saved(TWO)) == (
        "no group takes the parameter head.weight of shape (2,), only conv/*, fc/*; leave it to "
        "another optimizer, or rename it"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("ntm-bfgs", "{path} holds ntm-bfgs, which metadescent.torch does not have; known are "),
        ("pictorial", "{path} holds pictorial, which metadescent.torch does not have; known are "),
        (
            "conv/* -> lstm + * -> optax.adam(learning_rate=0.1)",
            "{path} holds optax.adam, which metadescent.torch does not have; known are ",
        ),
        ("mine.py:Mine", "{path} holds mine.py:Mine, which metadescent.torch does not have; "),
        ("lstm(units=3)", "lstm has no option 'units'; known are layers, p, scale"),
        ("lstm(layers=3)", "cannot make lstm(layers=3): "),
        (
            "lstm(layers=(2, 4))",
            f"leaf 'output/weight' of {{path}} is {PHI}[1, 2] where {PHI}[1, 4] is expected; it "
            "was saved from something else",
        ),
        ("lstm(layers=(2,))", "{path} has an unexpected leaf 'cells/1/"),
        ("rnnprop(layers=(2, 2))", "{path} lacks the leaf 'lstm/output/weight'; "),
    ],
)
def test_a_file_that_pytorch_cannot_run_is_one_sentence(
    spec: str, expected: str, tmp_path: Path, sentence: Callable
) -> None:
    path = tmp_path / "misfit.safetensors"
    phi = eqx.filter(LSTM((2, 2), key=jax.random.key(0)), eqx.is_array)
    # `save` would refuse to say what does not fit.
    save_arrays(path, phi, {"format": FORMAT, "optimizer": spec})
    refusal = sentence(read_groups, path)
    assert refusal.startswith(expected.format(path=path))
    assert "\n" not in refusal


WRAPPED = [
    "",
    "module.",
    "module.module.",
    *(f"{name}." for name in WRAPPERS),
    *(f"{name}.module." for name in WRAPPERS),
    *(f"module.{name}." for name in WRAPPERS),
    "module._orig_mod._fsdp_wrapped_module._fpw_module.module.",
]


@pytest.mark.parametrize("before", WRAPPED)
def test_what_wraps_a_model_changes_no_group(before: str, saved: Callable) -> None:
    """DDP, torch.compile, Fabric and checkpoints put words into names, at any depth."""
    path = saved("conv/0/* -> lstm(layers=(2,)) + fc/* -> rnnprop(layers=(3,))")
    inner = ["conv.0.weight", "conv._orig_mod.0._checkpoint_wrapped_module.weight"]
    named = [(f"{before}{name}", torch.nn.Parameter(torch.zeros(3))) for name in [*inner, "fc.b"]]
    optimizer = LearnedOptimizer(named, path)
    step(optimizer, named)
    assert [len(optimizer.state[p]) for _, p in named] == [2, 2, 5]


def test_a_part_of_a_model_that_is_called_module_is_no_wrapper(saved: Callable) -> None:
    """Where some names begin with it, as the model's own; where all do, both names are its."""
    path = saved("conv/* -> lstm(layers=(2,)) + * -> rnnprop(layers=(3,))")
    for names, sizes in {
        ("module.conv.w", "head.w"): [5, 5],
        ("_orig_mod.module.conv.w", "_orig_mod.head.w"): [5, 5],
        ("module.conv.w", "module.head.w"): [2, 5],
        ("encoder.module.conv.w", "encoder.module.head.w"): [5, 5],
        ("my_orig_mod.conv.w", "my_orig_mod.head.w"): [5, 5],
        ("conv.module", "conv._orig_mod"): [2, 2],
    }.items():
        named = [(name, torch.nn.Parameter(torch.zeros(3))) for name in names]
        # However they are divided into groups.
        for params in (named, [{"params": [pair]} for pair in named]):
            optimizer = LearnedOptimizer(params, path)
            step(optimizer, named)
            assert [len(optimizer.state[p]) for _, p in named] == sizes, names
    own = saved("module/conv/* -> lstm(layers=(2,)) + * -> rnnprop(layers=(3,))")
    named = [("_orig_mod.module.conv.w", torch.nn.Parameter(torch.zeros(3)))]
    step(optimizer := LearnedOptimizer(named, own), named)
    assert len(optimizer.state[named[0][1]]) == 2
