"""References that come with the package: they are whole, and of what tasks compute."""

import json
from pathlib import Path

import numpy as np
import pytest

from metadescent.bench.kept import PACKAGE, reference_of
from metadescent.bench.measured import POINTS
from metadescent.bench.reference import is_of
from metadescent.bench.task import every_task
from metadescent.descent.curves import final_loss

FILES = sorted(PACKAGE.glob("*.json"))
TASKS = {path.name: path.name.rsplit("-", 3)[0] for path in FILES}
QUICK = "noisy-quadratic"


def test_there_are_some() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_reference_is_of_a_task_and_whole(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    name, steps, seeds, seed = path.stem.rsplit("-", 3)
    assert name in every_task()
    of = [kept["of"][word] for word in ("steps", "seeds", "seed", "points")]
    assert of == [int(steps), int(seeds), int(seed), POINTS]
    envelope = np.asarray(kept["reference"]["envelope"])
    assert envelope.shape == (POINTS + 1,)
    assert (np.diff(envelope) <= 0).all()
    # Adam at one of its rates is no better than the best of them at each point.
    default = np.asarray([np.inf if x is None else x for x in kept["reference"]["adam_at_default"]])
    assert (default >= envelope * (1 - 1e-6)).all()
    adamw = np.asarray(kept["reference"]["adamw"])
    assert np.isfinite(final_loss(adamw))


def test_the_bench_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metadescent.bench.kept.make_reference", lambda *_, **__: 1 / 0)
    split = every_task()[QUICK].make(None)
    sizes = {"num_steps": 500, "num_seeds": 3, "seed": 0}
    reference = reference_of(QUICK, split, **sizes, folder=tmp_path)
    assert reference.chosen.keys() == {"adam", "adamw"}


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_task_computes_what_its_reference_was_made_of(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert is_of(kept["probe"], every_task()[TASKS[path.name]].make(None))
