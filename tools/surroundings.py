"""Test runs and optimizers among other people's files, terminals, settings, states and data.

    python tools/surroundings.py KIND SEED NUMBER        one try again

Each try has its own number, and returns what went wrong in it, or nothing.
"""

import random
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import guard
import misfits
import places
import terminals

Try = Callable[[Path, random.Random], str]
PYTORCH = find_spec("torch") is not None
KINDS: dict[str, tuple[int, Try]] = {
    "foreign files beside a run": (2_500, places.beside_a_run),
    "two runs, one within the other's folder": (500, places.nested),
    "outputs that are pipes, links and devices": (5_000, places.written_to),
    "help in any width and encoding": (500, terminals.help_of),
    "tables in any width and encoding": (4_000, terminals.table_of),
    "problem files changed before --resume": (150, misfits.problem_changed),
    "settings of JAX changed before --resume": (250, misfits.settings_changed),
    "data of any dtype and shape": (3_000, misfits.data_of_a_dtype),
    "states of another θ in JAX": (2_000, misfits.state_in_jax),
}
if PYTORCH:
    import misfits_torch

    KINDS |= {
        "parameters and states changed in PyTorch": (5_000, misfits_torch.state_in_pytorch),
        "shared parameters in PyTorch": (500, misfits_torch.sharded),
    }


def run(folder: Path, share: float, seed: int) -> tuple[Counter, list]:
    """Try a share of all; return how many of each kind, and what was lost."""
    tried, lost = Counter(), []
    for kind, (count, _) in KINDS.items():
        for number in range(max(1, round(count * share))):
            tried[kind] += 1
            if said := again(folder / "place", kind, seed, number):
                lost.append((kind, f"{kind}, seed {seed}, number {number}: {said[:600]}"))
    return tried, lost


def again(place: Path, kind: str, seed: int, number: int) -> str:
    """Make one try in a folder that is new and is removed again; return what was lost by it."""
    place.mkdir(parents=True)
    # What waits for ever, as for a pipe, is lost too.
    signal.signal(signal.SIGALRM, guard.hang)
    signal.alarm(guard.SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return KINDS[kind][1](place, random.Random(f"{seed} {kind} {number}"))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        shutil.rmtree(place)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(again(Path(name) / "place", sys.argv[1], int(sys.argv[2]), int(sys.argv[3])) or "ok")
