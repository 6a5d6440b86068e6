"""`visualize`: the pictures of any optimizer on any problem, from the command line."""

from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from metadescent.registry import make_optimizer
from metadescent.zoo import file as artifact

SPEC = "lstm(layers=(4,), p=None, scale=1.0)"


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.safetensors"
    artifact.save(path, make_optimizer(SPEC, jax.random.key(0)), optimizer=SPEC)
    return str(path)


def test_histories_and_functions_are_drawn_twice_alike(
    metadescent: Callable, mine: str, tmp_path: Path
) -> None:
    words = ("visualize", mine, "quadratic(dimension=3)", "--steps", "3", "--seeds", "8")
    status, out, said = metadescent(*words, "--out", "one", "--against", "sgd")
    assert status == 0, said
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len([name for name in files if name.startswith("function-")]) == 4
    assert files[-2:] == ["histories.png", "histories.svg"]
    assert "mean |g|" in out
    assert "time scale" in out
    assert 0 < out.index("\n mine ") < out.index("\n sgd ")
    assert all(str(Path("one", name)) in out for name in files if name.endswith(".png"))
    assert metadescent(*words, "--out", "two", "--against", "sgd")[0] == 0
    for name in files:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert first == second, name


def test_an_unknown_follower_is_a_sentence(metadescent: Callable, mine: str) -> None:
    status, out, said = metadescent("visualize", mine, "quadratic", "--against", "adan")
    assert (status, out) == (2, "")
    assert said == "metadescent: there is no baseline 'adan'; did you mean 'adam'?\n"
