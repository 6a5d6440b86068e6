"""Every command, wherever it is run: odd encodings and widths, no home, nobody who reads."""

import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metadescent.cli import main
from metadescent.cli.command import commands

COMMANDS = list(commands())
WIDTHS = ["20", "1", "0"]
QUICK = {"list", "new-problem", "inspect", "convert", "push"}


class Place:
    """Streams of an encoding, and what came through them."""

    def __init__(self, encoding: str) -> None:
        self.out, self.said = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))

    def run(self, *words: str) -> tuple[int, str, str]:
        """Do what words ask for; return the status, the output and the errors."""
        status, before = 0, signal.getsignal(signal.SIGTERM)
        try:
            with redirect_stdout(self.out), redirect_stderr(self.said):
                main(list(words))
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        finally:
            signal.signal(signal.SIGTERM, before)
        self.out.flush()
        self.said.flush()
        texts = (s.buffer.getvalue().decode(s.encoding) for s in (self.out, self.said))  # type: ignore[attr-defined]
        return status, *texts


@pytest.fixture
def work(
    trained: tuple[Path, str, str],
    data: Path,
    hub: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, list[str]]:
    """The words of each command for little work, in a folder that has what they name."""
    shutil.copytree(trained[0], tmp_path / "r")
    arrays = {"linear": {"w": np.ones((20, 1), np.float32), "b": np.zeros(1, np.float32)}}
    for layer, width in (("lstm_1", 22), ("lstm_2", 40)):
        arrays[layer] = {
            "w_gates": np.ones((width, 80), np.float32),
            "b_gates": np.zeros(80, np.float32),
        }
    (tmp_path / "authors.l2l").write_bytes(pickle.dumps(arrays, protocol=4))
    monkeypatch.chdir(tmp_path)
    few = ["--steps", "4", "--seeds", "3"]
    return {
        "list": [],
        "demo": ["--epochs", "1", "--seeds", "2"],
        "new-problem": ["mine"],
        "train": ["quadratic", "--out", "new", "--epochs", "1", "--steps", "4", "--unroll", "2"],
        "evaluate": ["r", "quadratic", *few, "--tune-seeds", "12", "--against", "sgd"],
        "bench": ["r", "--tasks", "noisy-quadratic", "--horizons", "50", "--seeds", "1"],
        "tune": ["sgd", "quadratic", *few],
        "inspect": ["r"],
        "doctor": ["r", "--seeds", "2"],
        "report": ["r", "--seeds", "2", "--against", "sgd"],
        "visualize": ["r", "quadratic", *few, "--against", "sgd"],
        "reproduce": ["figure4", "--budget", "smoke"],
        "stylize": [
            *("grace_hopper", "china", "--size", "16", "--steps", "1"),
            *("--optimizer", "sgd", "--data-dir", str(data)),
        ],
        "push": ["r", f"hf://{hub.user}/r"],
        "convert": ["authors.l2l", "lstm"],
    }


def test_every_command_has_work(work: dict[str, list[str]]) -> None:
    assert set(work) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_help_in_any_encoding(command: str, encoding: str) -> None:
    status, out, said = Place(encoding).run(command, "--help")
    assert (status, said) == (0, "")
    assert f"usage: metadescent {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", WIDTHS)
def test_help_in_any_width(command: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, out, said = Place("utf-8").run(command, "--help")
    assert (status, said) == (0, "")
    assert "--help" in out


DOABLE = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in COMMANDS]


@pytest.mark.parametrize("command", DOABLE)
@pytest.mark.parametrize(("encoding", "columns"), [("ascii", "20"), ("cp1252", "0")])
def test_work_in_any_encoding_and_width(
    command: str,
    encoding: str,
    columns: str,
    work: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, out, said = Place(encoding).run(command, *work[command])
    assert status == 0, said
    assert out.strip()
    assert "mistake" not in said


@pytest.mark.parametrize("command", DOABLE)
def test_work_where_home_is_no_folder(
    command: str, work: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under a file nothing is to be made, by nobody.
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "authors.l2l" / "home"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    status, out, said = Place("utf-8").run(command, *work[command])
    assert status == 0, said
    assert out.strip()


@pytest.mark.parametrize("command", DOABLE)
def test_work_from_another_folder(
    command: str, work: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = {name: f"../{name}" for name in ("r", "authors.l2l")}
    status, _, said = Place("utf-8").run(
        command, *(moved.get(word, word) for word in work[command])
    )
    assert status == 0, said


PROGRAM = "from metadescent.cli import main; main()"


def started(words: list[str], rest: str, **environment: str) -> tuple[int, str, str]:
    """Run words in a process of its own, under a shell."""
    quoted = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{sys.executable}' -c '{PROGRAM}' {quoted} {rest}"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | environment,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
def test_a_process_of_its_own_in_ascii(variables: dict[str, str]) -> None:
    status, out, said = started(["list"], "", **variables)
    assert (status, said) == (0, "")
    assert "mnist-lstm" in out


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_that_nobody_reads_to_its_end(command: str) -> None:
    status, _, said = started([command, "--help"], "| head -1")
    assert (status in (0, 141), said) == (True, "")


@pytest.mark.slow
def test_without_a_home_in_a_process_of_its_own(work: dict[str, list[str]]) -> None:
    under = {name: str(Path("authors.l2l/home").absolute()) for name in ("HOME", "XDG_CACHE_HOME")}
    status, out, said = started(["evaluate", *work["evaluate"]], "", **under)
    assert status == 0, said
    assert "sgd" in out
