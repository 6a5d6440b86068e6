"""That a run takes what was predicted, and what to change where that is too much."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metadescent.runs.fit import Prediction, remedies
from metadescent.runs.memory import parse_bytes
from metadescent.runs.recipe import Recipe

GIB = 2**30
RECIPE = Recipe(steps=100, unroll=20, problems=64, validation_problems=32)


def test_the_peak_is_that_of_the_program_that_takes_more() -> None:
    training = Prediction("two-phase", held=300, epoch=50, validation=20, available=1000)
    assert (training.peak, training.program) == (350, "the meta-gradient")
    validation = training._replace(validation=60)
    assert (validation.peak, validation.program) == (360, "validation")


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (Prediction("two-phase", 100, 50, 1000, 600), ["--validation-problems 14"]),
        (Prediction("recompute", 100, 1000, 50, 600), ["--problems 28", "--unroll 5"]),
        (Prediction("recompute", 100, 10_000, 50, 600), ["--problems 2"]),
        (Prediction("segments", 700, 1000, 50, 600), []),
    ],
)
def test_remedies_are_for_the_program_that_takes_more(
    prediction: Prediction, expected: list[str]
) -> None:
    assert remedies(prediction, 600, RECIPE) == expected


# The whole command, in a process of its own, which tells the most that it ever held. On Linux
# ru_maxrss is no less than what the process that started it held.
PROGRAM = """
import re, resource
from pathlib import Path
from metadescent.cli import main
main()
status = Path("/proc/self/status")
if status.exists():
    print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
ONE_STEP = ["--steps", "20", "--unroll", "20", "--epochs", "1", "--episodes", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--form", "two-phase", "--problems", "150000", "--validation-problems", "1"],
        ["--form", "segments", "--problems", "20000", "--validation-problems", "1"],
        ["--problems", "1", "--validation-problems", "200000"],
    ],
    ids=["two-phase", "segments", "validation"],
)
def test_a_run_takes_what_was_predicted(flags: list[str], tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, "train", "quadratic", "--out", str(tmp_path)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*words, *ONE_STEP, *flags], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    _, _, line = done.stderr.partition("Predicted peak memory ")
    predicted, peak = parse_bytes(line.partition(" (")[0]), int(done.stdout.splitlines()[-1])
    # JAX alone holds about a third of a GiB: most of this is the run's.
    assert peak > GIB
    assert predicted == pytest.approx(peak, rel=0.25)
