"""`metadescent bench`: what it is told, what it prints, and what a second call has to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = ("--tasks", "noisy-quadratic", "--horizons", "50", "--seeds", "2")


@pytest.mark.slow
def test_scores_are_printed_kept_and_drawn(
    trained: tuple[Path, str, str], metadescent: Callable, tmp_path: Path
) -> None:
    words = ("bench", f"{trained[0]},prodigy", *WORDS, "--json", "s.json", "--plot", "s", "--begun")
    status, out, _ = metadescent(*words)
    assert status == 0
    assert "prodigy, 50 steps" in out
    assert f"{trained[0].name}, as it begins, 50 steps" in out
    assert out.count("noisy-quadratic") == 3
    assert "Diverged: " in out
    assert (tmp_path / "s.svg").is_file()
    kept = json.loads((tmp_path / "s.json").read_text())["results"]
    assert [piece["of"]["task"] for piece in kept] == ["noisy-quadratic"] * 3
    # It is another rule than the trained one, which a hand-designed one has no form of.
    ends = [piece["result"]["train"][-1] for piece in kept]
    assert len(set(ends)) == 3
    # What is there is printed again, to the digit.
    again = metadescent(*words)
    assert again[:2] == (0, out)
    assert json.loads((tmp_path / "s.json").read_text())["results"] == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nag", "--horizons", "many"), "--horizons is 'many' and must be numbers, such as"),
        (("nag", "--horizons", "70"), "a horizon of 70 steps is not a multiple of 50"),
        (("nag", "--tasks", "tabula"), "there is no task 'tabula'; did you mean 'tabular'?"),
        (("nag", "--seeds", "0"), "seeds is 0 and must be at least 1"),
        (("mnist-lstn",), "there is no pretrained optimizer and no file 'mnist-lstn'"),
        ((",",), "no optimizer is named"),
    ],
)
def test_what_means_nothing_is_refused(
    words: tuple[str, ...], said: str, metadescent: Callable
) -> None:
    status, out, message = metadescent("bench", *words)
    assert (status, out) == (2, "")
    assert said in message
