"""References: what they are of, that they are kept, and for nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.bench.scores.conftest import parabolas

from metadescent.bench import kept
from metadescent.bench.kept import reference_of
from metadescent.bench.measured import measure
from metadescent.bench.reference import Reference, is_of, key_of, probe, reference_from
from metadescent.bench.rivals import ADAM, ADAMW_RATES, DEFAULT
from metadescent.bench.task import Split

SIZES = {"num_steps": 50, "num_seeds": 2, "seed": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Path]:
    folder = tmp_path_factory.mktemp("kept")
    split = Split(parabolas(), parabolas(), parabolas(2.0))
    return reference_of("parabola", split, folder=folder, **SIZES), folder


def test_the_envelope_is_below_every_rate_of_adam(
    made: tuple[Reference, Path], split: Split
) -> None:
    reference, _ = made
    assert (np.diff(reference.envelope) <= 0).all()
    for place in (0, ADAM.rates.index(DEFAULT), len(ADAM.rates) - 1):
        m = ADAM.at(place, 50)
        curve = measure(m, split, key_of(0), num_steps=50, num_seeds=2).train.mean(0)
        assert (reference.envelope <= curve * (1 + 1e-6)).all()
        if ADAM.rates[place] == DEFAULT:
            np.testing.assert_allclose(reference.adam_at_default, curve, rtol=1e-6)


def test_adamw_is_tuned_inside_its_rates(made: tuple[Reference, Path]) -> None:
    reference, _ = made
    rate = float(reference.chosen["adamw"].split(",")[0])
    assert ADAMW_RATES[0] < rate
    # A step of Adam is no longer than its rate, and the way is 1 or 3 long.
    assert reference.adamw[-1] < 0.1 * reference.adamw[0]
    assert reference.held_out[1] <= reference.held_out[0]


@pytest.mark.parametrize("path", sorted(kept.PACKAGE.iterdir()), ids=lambda path: path.stem)
def test_the_best_rates_of_the_package_are_inside_the_grids(path: Path) -> None:
    chosen = json.loads(path.read_text(encoding="utf-8"))["reference"]["chosen"]
    for name, rates in (("adam", ADAM.rates), ("adamw", ADAMW_RATES)):
        assert rates[0] < float(chosen[name].split(",")[0]) < rates[-1]


def test_what_is_kept_is_read_as_it_was(
    made: tuple[Reference, Path], split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, folder = made
    monkeypatch.setattr(kept, "make_reference", None)
    again = reference_of("parabola", split, folder=folder, **SIZES)
    np.testing.assert_allclose(again.envelope, reference.envelope, rtol=1e-6)
    assert again.held_out == reference.held_out


def test_it_is_for_no_other_f_and_no_other_sizes(
    made: tuple[Reference, Path], split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = made
    asked: list[int] = []

    def make(split: Split, *, num_steps: int, **_: object) -> Reference:
        asked.append(num_steps)
        return made[0]

    monkeypatch.setattr(kept, "make_reference", make)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    reference_of("parabola", split, folder=folder, **SIZES)
    assert asked == []
    other = split._replace(train=parabolas(1.01))
    reference_of("parabola", other, folder=None, **SIZES)
    reference_of("parabola", split, folder=folder, **{**SIZES, "num_steps": 100})
    assert asked == [50, 100]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_probe_tells_one_f_from_another(split: Split) -> None:
    assert is_of(probe(split), split)
    assert not is_of(probe(split), split._replace(train=parabolas(1.01)))
    assert not is_of(probe(split), split._replace(held_out=parabolas(1.0)))


def test_a_damaged_file_is_named(
    made: tuple[Reference, Path], split: Split, tmp_path: Path, sentence
) -> None:
    (path,) = made[1].glob("parabola-50-*.json")
    for text in ("{}", "[]", "no", path.read_text()[:-20]):
        (tmp_path / path.name).write_text(text)
        said = sentence(reference_of, "parabola", split, folder=tmp_path, **SIZES)
        assert said == f"{tmp_path / path.name} is damaged; remove it, and it is made anew"


def test_infinity_is_written_as_json_knows_it(made: tuple[Reference, Path]) -> None:
    reference = made[0]._replace(adam_at_default=np.asarray([1.0, np.inf]))
    text = json.dumps(reference.to_json(), allow_nan=False)
    assert reference_from(json.loads(text)).adam_at_default.tolist() == [1.0, np.inf]
