"""What Weights & Biases is told, by a stand-in for it; tests/stacks has the package itself."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metadescent.runs.loggers.wandb import WandB

CONFIG = {"problem": "quadratic", "recipe": {"steps": 4}}
LINES = [{"epoch": epoch, "a": float(epoch)} for epoch in range(1, 6)]


class Server:
    """It keeps the steps of each run, and refuses those that go back."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[int, Any]] = {}

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        return settings

    def init(self, **words: Any) -> Any:
        steps = self.runs.setdefault(words["id"], {})
        self.words = words

        def log(numbers: dict[str, float], step: int, commit: bool) -> None:
            assert commit
            assert step > max(steps, default=-1)
            steps[step] = numbers

        return SimpleNamespace(
            step=max(steps, default=-1) + 1, log=log, finish=lambda exit_code=0: None
        )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", server := Server())
    return server


def session(folder: Path, earlier: int, until: int) -> None:
    logger = WandB()
    logger.begin(folder, CONFIG, LINES[:earlier])
    for line in LINES[earlier:until]:
        logger.log(line)
    logger.end("stopped")


@pytest.mark.parametrize(("logged", "saved"), [(0, 0), (2, 2), (2, 3), (3, 2), (5, 5)])
def test_on_a_server_each_epoch_is_there_once(
    logged: int, saved: int, server: Server, tmp_path: Path
) -> None:
    session(tmp_path, 0, logged)
    session(tmp_path, saved, 5)
    assert server.runs[server.words["id"]] == {n: {"a": float(n)} for n in range(1, 6)}
    # What cannot be taken back is left, and another run begins.
    assert len(server.runs) == (2 if logged > saved else 1)


def test_the_run_has_the_folder_and_the_choices(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(tmp_path, 0, 0)
    words = server.words
    assert (words["dir"], words["name"]) == (str(tmp_path.resolve()), tmp_path.name)
    assert words["config"] == {"problem": "quadratic", "steps": 4}
    assert words["project"] == "metadescent"
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    session(tmp_path, 0, 0)
    assert server.words["project"] == "theirs"
