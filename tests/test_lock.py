"""One process at a time in a folder, and a lock that a dead owner does not keep."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent._files import LOCK, locked

HOLD = """
import sys, time
from pathlib import Path
from metadescent._files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def take(folder: Path) -> None:
    with locked(folder):
        pass


def test_a_second_process_is_refused_until_the_first_is_dead(
    tmp_path: Path, sentence: Callable
) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        assert sentence(take, tmp_path) == (
            f"{tmp_path} is in use by process {owner.pid}; wait until that ends or choose another "
            "folder"
        )
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    take(tmp_path)


def test_one_process_does_not_hold_a_folder_twice(tmp_path: Path, sentence: Callable) -> None:
    with locked(tmp_path):
        assert f"is in use by process {os.getpid()};" in sentence(take, tmp_path)
    take(tmp_path)


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        _ = 1 / 0
    take(tmp_path)


def test_the_number_of_a_process_that_has_ended_makes_room(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("99999999999999999999")
    take(tmp_path)
    assert (tmp_path / LOCK).read_text() == str(os.getpid())


def test_a_folder_that_cannot_be_is_named(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "run"
    assert sentence(take, folder).startswith(f"cannot write {folder / LOCK}: ")


@pytest.mark.parametrize("theirs", [b"theirs", b"", b"\xff\x00", b"17 and more"])
def test_the_file_of_another_program_stays_as_it_is(
    tmp_path: Path, sentence: Callable, theirs: bytes
) -> None:
    (tmp_path / LOCK).write_bytes(theirs)
    with locked(tmp_path):
        assert "is in use by another process;" in sentence(take, tmp_path)
    assert (tmp_path / LOCK).read_bytes() == theirs
