"""Processes of this machine, watched over; here they are small scripts in place of the command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metadescent._errors import LostError
from metadescent.runs.cluster import launcher
from metadescent.runs.cluster.cores import own_cores

# What a process does, and which of them does it: told by the words, as `train` is.
PART = """
import os, signal, sys, time
from metadescent.runs.cluster.lifeline import hang_on
hang_on()
words = sys.argv[1:]
me = words[words.index("--process-id") + 1] if "--process-id" in words else "0"
open(os.path.join(words[1], "log"), "a").write(me + " " + " ".join(words[2:]) + chr(10))
what = words[0]
if what == "all go well":
    sys.exit(0)
if what == "1 is killed" and me == "1" and "--resume" not in words:
    os.kill(os.getpid(), signal.SIGKILL)
if what == "1 fails" and me == "1":
    sys.exit("no such data on this host")
if what == "1 is wrong" and me == "1":
    print("metadescent: 3 is no number", file=sys.stderr)
    sys.exit(2)
if what == "0 loses" and me == "0":
    time.sleep(1.0)
    sys.exit(75)
if "--resume" not in words:
    time.sleep(60)
"""


AGAIN = "metadescent train --resume r"


@pytest.fixture(autouse=True)
def _small_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "MAIN", PART)


def log(folder: Path) -> list[str]:
    return sorted((folder / "log").read_text().splitlines())


def test_each_process_has_a_seat_and_the_words(tmp_path: Path) -> None:
    words = ["all go well", str(tmp_path), "--processes", "2", "--restarts=1", "--steps", "4"]
    assert launcher.launch(words, 2, 0, AGAIN) == 0
    first, second = log(tmp_path)
    address = first.split()[4]
    assert address.startswith("127.0.0.1:")
    for me, line in enumerate((first, second)):
        seat = f"--coordinator {address} --processes 2 --process-id {me}"
        assert line == f"{me} --steps 4 {seat}"


def test_a_killed_process_ends_the_others_with_a_sentence_in_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(LostError) as caught:
        launcher.launch(["1 is killed", str(tmp_path)], 2, 0, AGAIN)
    assert str(caught.value) == (
        "process 1 was killed by SIGKILL, and the others were ended; what was saved is kept: go on "
        "with metadescent train --resume r, or let --restarts 3 do that"
    )
    assert time.monotonic() - began < 20


def test_a_restart_resumes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launcher.launch(["1 is killed", str(tmp_path)], 2, 2, AGAIN) == 0
    assert "starting again from the last checkpoint, which may happen 1 times more" in (
        capfd.readouterr().err
    )
    assert sum("--resume" in line for line in log(tmp_path)) == 2


def test_restarts_come_to_an_end(tmp_path: Path) -> None:
    with pytest.raises(LostError, match="process 0 ended with status 75"):
        launcher.launch(["0 loses", str(tmp_path), "--resume"], 1, 1, AGAIN)
    assert len(log(tmp_path)) == 2


def test_what_starting_again_does_not_mend_is_not_tried_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launcher.launch(["1 is wrong", str(tmp_path)], 2, 3, AGAIN) == 2
    assert capfd.readouterr().err == "metadescent: 3 is no number\n"
    # The other may have been ended before it came to say so.
    begun = [line.split()[-1] for line in log(tmp_path)]
    assert "1" in begun
    assert len(begun) == len(set(begun))


def test_what_a_process_says_when_it_fails_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LostError, match="process 1 ended with status 1"):
        launcher.launch(["1 fails", str(tmp_path)], 2, 0, AGAIN)
    assert "no such data on this host" in capfd.readouterr().err


def test_the_processes_end_with_the_one_that_watches(tmp_path: Path) -> None:
    script = (
        "import sys; from metadescent.runs.cluster import launcher; launcher.MAIN = sys.argv[1]; "
        "launcher.launch(sys.argv[2:], 2, 0, str())"
    )
    watch = subprocess.Popen([sys.executable, "-c", script, PART, "all wait", str(tmp_path)])
    path = tmp_path / "log"
    until(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
    pids = children(watch.pid)
    assert len(pids) == 2
    os.kill(watch.pid, signal.SIGKILL)
    watch.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def children(parent: int) -> list[str]:
    return Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split()


def until(true: object) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_this_process_has_its_cores_back(tmp_path: Path) -> None:
    before = own_cores()
    assert launcher.launch(["all go well", str(tmp_path)], 2, 0, AGAIN) == 0
    assert own_cores() == before
