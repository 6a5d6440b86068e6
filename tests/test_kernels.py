"""Building the kernels: they are there, or JAX's own code runs and nobody is hurt."""

import os
import subprocess
import sys
from pathlib import Path

import pooch
import pytest

from metadescent._ffi import KERNELS, kernels, library


@pytest.mark.slow
@pytest.mark.skipif(not kernels(), reason="no C++ compiler")
def test_they_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path)
    path = library()
    assert path is not None
    assert list((tmp_path / "native").iterdir()) == [path]
    built = path.stat().st_mtime_ns
    assert library() == path
    assert path.stat().st_mtime_ns == built
    assert set(kernels()) == set(KERNELS)
    assert all(name.endswith(path.stem) for name in kernels().values())


def test_they_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METADESCENT_NATIVE", "0")
    assert library() is None


def test_without_a_compiler_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert library() is None


@pytest.mark.skipif(os.name != "posix", reason="the compiler is a shell script")
def test_a_compiler_that_fails_is_worth_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in --version) echo 1;; *) echo no such header >&2; exit 1;; esac\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    with pytest.warns(UserWarning, match=r"no C\+\+ kernels.*no such header"):
        assert library() is None
    assert list((tmp_path / "cache" / "native").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not kernels(), reason="no C++ compiler")
def test_a_library_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "a-file")
    path = library()
    assert path is not None
    assert path.exists()


def test_nothing_is_built_on_import() -> None:
    code = (
        "import metadescent.optimizers.lstm, metadescent._ffi as native;"
        "assert native.kernels.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
