"""Parameters that processes share, and what is told of them where they cannot be moved."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("sharded.py")
NAMES = ["mlp-robust-lstm", "classifier-lstm", "cifar10-plain-lstm", "general"]
CHAINS = "*weight -> modulated(layers=(3,)) >> relative() >> pace(horizon=9.0) + * -> relative()"


@pytest.mark.slow
def test_steps_of_shared_parameters_are_those_of_whole_ones(saved: Callable) -> None:
    words = [sys.executable, "-W", "ignore", str(PROGRAM), *NAMES, str(saved(CHAINS))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
