"""`inspect`: φ, and what the file says."""

import json
from collections.abc import Callable
from pathlib import Path
from shlex import split

import jax
import pytest

from metadescent import cli, zoo
from metadescent.optimizers.lstm import LSTM
from metadescent.registry import problems
from metadescent.zoo.cards import read_card


def test_inspect_shows_phi_and_what_the_file_says(
    save: Callable, metadescent: Callable, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.safetensors", trained_on="quadratic", seed=17)
    status, out, _ = metadescent("inspect", str(path))
    assert status == 0
    count = sum(leaf.size for leaf in jax.tree.leaves(LSTM((4,), p=None, key=jax.random.key(0))))
    assert f"{count:,} parameters" in out
    card = json.loads(out[out.index("{") :])
    assert card == read_card(path)
    assert card["seed"] == 17


MINE = """
import jax, jax.numpy as jnp
from metadescent import FromFunction

def init(key):
    return {"slope": jax.random.normal(key, (3, 2)), "offset": jnp.zeros(())}

def loss(theta, key, examples=None):
    x = jnp.ones(3) if examples is None else examples.mean(0)
    return jnp.sum((x @ theta["slope"]) ** 2) + theta["offset"] ** 2

whole = FromFunction(loss, init)
def in_parts(size=2):
    return FromFunction(loss, init, jnp.arange(30.0).reshape(10, 3), batch_size=size)
"""


@pytest.mark.parametrize(
    "name",
    [
        *("quadratic", "quadratic(dimension=3)", "convex + rosenbrock", "digits"),
        *("my own.py:whole", "my own.py:in_parts(size=3)"),
    ],
)
def test_inspect_prints_the_command_that_train_reads_as_the_default(
    name: str, metadescent: Callable, tmp_path: Path
) -> None:
    (tmp_path / "my own.py").write_text(MINE)
    status, out, _ = metadescent("inspect", name)
    assert status == 0
    command = out[out.index("metadescent train") :].partition("\n\n")[0]
    # A shell joins lines that end so.
    prog, *words = split(command.replace("\\\n", ""))
    assert prog == "metadescent"
    own = ["--recipe", "paper"] if "my own.py" in name else []
    assert ("looks for a better one" in out) is bool(own)
    assert cli._parse(words) == cli._parse(["train", name, *own])
    # Nothing is left to a default.
    assert sum(word.startswith("--") for word in words) == 25 + bool(own)
    assert ("The paper finds the meta-rate" in out) == name.startswith("quadratic")


def test_inspect_says_what_theta_is_and_whether_f_is_random(
    metadescent: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    for name, said in [
        ("mine.py:whole", "f(θ) is the same at each step: it draws no minibatches."),
        ("mine.py:in_parts", "f(θ) differs from step to step: it draws minibatches, or noise."),
    ]:
        _, out, _ = metadescent("inspect", name)
        assert out.startswith(f"{name}: θ has 7 coordinates")
        assert "'slope'] 3×2" in " ".join(out.split())
        assert said in out


def test_inspect_names_what_was_pretrained_on_a_problem(metadescent: Callable) -> None:
    assert "quadratic-lstm" in metadescent("inspect", "quadratic")[1].splitlines()[-1]


def test_no_name_is_an_optimizer_s_and_a_problem_s() -> None:
    assert not {*zoo.names()} & {*problems()}


def test_what_is_neither_is_said_in_a_sentence(
    metadescent: Callable, one_sentence: Callable
) -> None:
    assert one_sentence(metadescent("inspect", "quadratc")) == (
        "there is no pretrained optimizer, no file and no problem 'quadratc'; did you mean "
        "'quadratic'?"
    )
