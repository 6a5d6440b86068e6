"""The file that `new-problem` writes: it trains as it is, and nothing is overwritten for it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.registry import make_problem

TINY = shlex.split(
    "--optimizer 'lstm(layers=(2,),p=None)' --steps 2 --unroll 2 --problems 2 --epochs 1 "
    "--episodes 2 --validation-problems 2"
)


@pytest.mark.slow
def test_it_trains_as_it_is_by_the_commands_that_it_names(metadescent: Callable) -> None:
    status, out, said = metadescent("new-problem", "blur")
    assert (status, said) == (0, "")
    assert [path.name for path in Path().iterdir()] == ["blur.py"]
    text = Path("blur.py").read_text(encoding="utf-8")
    train, evaluate = (line.strip() for line in out.splitlines()[1:])
    assert train == "metadescent train blur.py:blur --out runs/blur"
    assert evaluate == 'metadescent evaluate runs/blur "blur.py:blur(seed=1)"'
    assert f"    {train}\n    {evaluate}\n" in text
    assert "my_problem" not in text
    status, _, said = metadescent(*train.split()[1:], *TINY)
    assert status == 0, said
    assert Path("runs", "blur", "optimizer.safetensors").is_file()


def test_its_lines_are_fitted_by_least_squares(metadescent: Callable) -> None:
    metadescent("new-problem", "blur")
    first, second = (make_problem(f"blur.py:blur(size=5, seed={seed})") for seed in (0, 1))
    f, key = first.sample(jax.random.key(0)), jax.random.key(1)
    task = f.data
    slope, offset = np.polyfit(task["x"], task["y"], 1)
    theta = {"slope": jnp.asarray(slope), "offset": jnp.asarray(offset)}
    # The noise that was added is all that is left, and the gradient is none.
    value, gradient = jax.value_and_grad(f.loss)(theta, key)
    assert 0 < float(value) < 0.1
    assert max(abs(float(leaf)) for leaf in gradient.values()) < 1e-5
    assert not np.isin(first.f.data["x"], second.f.data["x"]).any()


def test_a_file_that_is_there_is_left_as_it_is(metadescent: Callable) -> None:
    Path("blur.py").write_text("mine", encoding="utf-8")
    status, out, said = metadescent("new-problem", "blur")
    assert (status, out) == (2, "")
    assert said == (
        "metadescent: blur.py is already there and is left as it is; choose another name\n"
    )
    assert Path("blur.py").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["my-problem", "3d", "class", "loss", "a/b", ""])
def test_what_python_would_not_take_is_no_name(name: str, metadescent: Callable) -> None:
    status, out, said = metadescent("new-problem", name)
    assert (status, out) == (2, "")
    assert said == (
        f"metadescent: {name!r} cannot name a problem in a Python file; try another name, of "
        "letters, digits and underscores, such as my_problem\n"
    )
    assert not list(Path().iterdir())
