"""Folders and files that may not be read or written are named in one sentence."""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metadescent import zoo
from metadescent.problems.data import data_dir, load_cifar10, load_mnist
from metadescent.runs import fit
from metadescent.runs.folder import check_free, read_config
from metadescent.runs.log import read_metrics, read_stopped
from metadescent.runs.recipe import Recipe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="permissions are those of Linux")

VERSION_3 = 0x20080522
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2


@pytest.fixture(autouse=True)
def bound() -> Iterator[None]:
    """Be bound by permissions, as root is not while it has two of its capabilities."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    before, data = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    data[:] = before[:]
    data[0] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    assert libc.capset(header, data) == 0
    yield
    assert libc.capset(header, before) == 0


@contextmanager
def allowed(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=4,
    episodes=2,
    meta_rate=0.03,
    average=0.5,
    validation_problems=2,
)
TRAIN = ("train", "quadratic(dimension=2)")
DENIED = "Permission denied; check the path"


@pytest.fixture
def run(tmp_path: Path, trained: Callable) -> Path:
    """The folder of a run, in the folder that commands run in."""
    return shutil.copytree(trained(RECIPE)[0], tmp_path / "run")


def test_a_folder_that_may_not_be_read(
    run: Path, metadescent: Callable, sentence: Callable
) -> None:
    with allowed(run, 0o000):
        best, config = (f"metadescent: cannot read run/{name}: {DENIED}\n" for name in NAMES)
        assert metadescent("inspect", "run") == (2, "", best)
        assert metadescent(*TRAIN, "--out", "run", "--resume") == (2, "", config)
        assert metadescent(*TRAIN, "--out", "run") == (2, "", config)
        assert metadescent("doctor", "run") == (2, "", config)
        assert sentence(zoo.load, run) == f"cannot read {run / NAMES[0]}: {DENIED}"


NAMES = ("optimizer.safetensors", "config.json")


@pytest.mark.parametrize(
    ("name", "read"),
    [("config.json", read_config), ("metrics.jsonl", read_metrics), ("stopped.json", read_stopped)],
)
def test_a_file_that_may_not_be_read_is_not_missing(
    name: str, read: Callable, tmp_path: Path, sentence: Callable
) -> None:
    (tmp_path / name).write_text("{}")
    with allowed(tmp_path / name, 0o000):
        assert sentence(read, tmp_path) == f"cannot read {tmp_path / name}: {DENIED}"


@pytest.mark.parametrize("out", ["shut", "shut/run", "shut/more/run"])
def test_a_place_that_may_not_be_written_is_refused_before_anything_is_compiled(
    out: str, tmp_path: Path, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "footprint", None)
    shut = tmp_path / "shut"
    shut.mkdir()
    why = "it may not be written" if out == "shut" else f"{shut} may not be written"
    with allowed(shut, 0o555):
        status, _, said = metadescent(*TRAIN, "--out", out)
        assert (status, said) == (
            2,
            f"metadescent: cannot write {out}: {why}; choose another place\n",
        )
        assert list(shut.iterdir()) == []


def test_a_place_within_a_file_is_refused(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "note").touch()
    folder = tmp_path / "note" / "run"
    assert sentence(check_free, folder, resume=False) == (
        f"cannot write {folder}: {tmp_path / 'note'} is a file; choose another place"
    )


def test_a_place_that_cannot_be_seen_is_refused(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "hidden").mkdir()
    folder = tmp_path / "hidden" / "run"
    with allowed(tmp_path / "hidden", 0o000):
        said = sentence(check_free, folder, resume=False)
    assert said == f"cannot read {folder}: {DENIED}"


@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_a_data_folder_that_may_not_be_read(
    load: Callable, tmp_path: Path, sentence: Callable
) -> None:
    with allowed(tmp_path, 0o000):
        said = sentence(load, data_dir(tmp_path))
    assert said.startswith(f"cannot read {tmp_path}{os.sep}")
    assert said.endswith(DENIED)


def test_a_name_that_is_too_long_is_said(metadescent: Callable, tmp_path: Path) -> None:
    name = "a" * 300
    status, out, said = metadescent("new-problem", name)
    assert (status, out) == (2, "")
    assert said.count("\n") == 1
    assert "File name too long" in said
