"""`visualize`: the pictures of any optimizer on any problem, from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = ("quadratic(dimension=3)", "--steps", "3", "--seeds", "8", "--against", "sgd")


@pytest.fixture(scope="module")
def mine(save: Callable, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("mine") / "mine.safetensors"))


@pytest.fixture(scope="module")
def drawn(once: Callable, mine: str) -> tuple[Path, str]:
    """A folder with pictures, and what is printed."""
    folder, out, _ = once("visualize", mine, *WORDS, "--out", "one")
    return folder / "one", out


def test_histories_and_functions_are_drawn(drawn: tuple[Path, str]) -> None:
    folder, out = drawn
    files = sorted(path.name for path in folder.iterdir())
    assert len([name for name in files if name.startswith("function-")]) == 4
    assert files[-2:] == ["histories.png", "histories.svg"]
    assert "mean |g|" in out
    assert "time scale" in out
    assert 0 < out.index("\n mine ") < out.index("\n sgd ")
    assert all(str(Path("one", name)) in out for name in files if name.endswith(".png"))


def test_they_are_drawn_twice_alike(
    drawn: tuple[Path, str], metadescent: Callable, mine: str, tmp_path: Path
) -> None:
    assert metadescent("visualize", mine, *WORDS, "--out", "two")[0] == 0
    first, second = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (drawn[0], tmp_path / "two")
    )
    assert first.keys() == second.keys()
    for name in first:
        assert first[name] == second[name], name


def test_an_unknown_follower_is_a_sentence(metadescent: Callable, mine: str) -> None:
    status, out, said = metadescent("visualize", mine, "quadratic", "--against", "adan")
    assert (status, out) == (2, "")
    assert said == "metadescent: there is no baseline 'adan'; did you mean 'adam'?\n"
