"""Parameters that processes share, and what is told of them where they cannot be moved."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("sharded.py")
NAMES = ["mlp-robust-lstm", "classifier-lstm", "cifar10-lstm", "general"]


@pytest.mark.slow
def test_steps_of_shared_parameters_are_those_of_whole_ones() -> None:
    words = [sys.executable, "-W", "ignore", str(PROGRAM), *NAMES]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
