"""A standard output that is full, closed or no longer read."""

import subprocess
import sys

import pytest

PROGRAM = "from metadescent.cli import program; program()"
FULL = "metadescent: cannot write the standard output: {}; send it to another place\n"


def run(words: str, redirected: str) -> tuple[int, str, str]:
    line = f"set -o pipefail; '{sys.executable}' -c '{PROGRAM}' {words} {redirected}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", ["--help", "list"])
def test_a_full_one_is_said(words: str) -> None:
    assert run(words, "> /dev/full") == (2, "", FULL.format("No space left on device"))


def test_a_closed_one_is_said() -> None:
    assert run("--help", ">&-") == (2, "", FULL.format("Bad file descriptor"))


def test_one_that_is_read_no_more_ends_it_without_a_word() -> None:
    # The reader is gone before the first line is written.
    assert run("list", "| :") == (141, "", "")


def test_closed_errors_are_no_error() -> None:
    status, out, said = run("--help", "2>&-")
    assert (status, said) == (0, "")
    assert "usage: metadescent" in out
    assert run("inspect nothing", "2>&-") == (2, "", "")


def test_a_mistake_elsewhere_is_not_taken_for_it() -> None:
    program = (
        "from metadescent.cli import main\n"
        "from metadescent.cli.list import List\n"
        "def run(command): raise OSError(28, 'No space left on device')\n"
        "List.run = run; main(['list'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("metadescent: a mistake in metadescent, OSError: [Errno 28]")
