"""Building the kernels: they are there, or JAX's own code runs and nobody is hurt."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pooch
import pytest

from metadescent import _kernels
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


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with no compiler, where nothing has been said of that."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CXX", _kernels.SAID, "METADESCENT_NATIVE"):
        # Set first, so that it is as before in the end.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


LINE = "Warning: no C++ compiler (g++, clang++), so a meta-step takes 3 times as long."


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="on a GPU nobody waits for kernels")
def test_that_there_is_no_compiler_is_said_once(
    no_compiler: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert library() is None
    assert library() is None
    assert caplog.messages == [LINE]


def test_whoever_wants_no_kernels_is_told_nothing(
    no_compiler: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("METADESCENT_NATIVE", "0")
    assert library() is None
    assert not caplog.messages


JAX = """
import jax, metadescent
optimizer = metadescent.load("quadratic-lstm")
for n in (3, 4):
    optimizer.update(jax.numpy.ones(n), optimizer.init(jax.numpy.ones(n)))
"""
TORCH = """
import torch
from metadescent.torch import LearnedOptimizer
for n in (3, 4):
    p = torch.nn.Parameter(torch.ones(n))
    p.grad = torch.ones(n)
    LearnedOptimizer([p], "quadratic-lstm").step()
"""
COMMAND = """
from metadescent.cli import main
main(["evaluate", "quadratic-lstm", "quadratic", "--steps", "5", "--seeds", "2"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("native", ["", "0"])
@pytest.mark.parametrize("program", [JAX, TORCH, COMMAND])
def test_a_process_without_a_compiler_says_one_line(
    program: str, native: str, no_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program == TORCH:
        pytest.importorskip("torch")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("METADESCENT_NATIVE", native)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "compiler" in line or "Warning" in line]
    line = LINE.replace("a meta-step takes 3", "a step takes 2 to 4") if program == TORCH else LINE
    assert done.returncode == 0, done.stderr
    assert said == ([] if native else [line])
    assert "Traceback" not in done.stderr


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


def call(kernel: str, results: list, *args: Any, **options: Any) -> Any:
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in results]
    return jax.ffi.ffi_call(kernels()[kernel], shapes)(*args, **options)


PHI = [(8, 1), (8, 2), (8,), (1, 2), (1,)]  # of a layer of two units
ONE = {"scale": np.float32(1.0)}
# Numbers, φ, traits and figures of `blend`, of a network of two units and one tensor.
BLEND = [(24,), (2,), (2, 14), (2,), (5, 2), (5,), (1, 4), (1, 7)]
AFTER = [(1, 7), *[(3, 4)] * 4]


@pytest.mark.skipif(not kernels(), reason="no C++ compiler")
@pytest.mark.parametrize(
    ("kernel", "args", "results", "complaint"),
    [
        ("lstm_update", [(1, 5), *PHI, (2, 3), (2, 3)], [(5,), (2, 3), (2, 3)], "h 0 is"),
        ("lstm_update", [(1, 3), *PHI, (2, 3), (2, 3)], [(5,), (2, 3), (2, 3)], "g is"),
        ("lstm_update", [(1, 3), *PHI, (2, 3), (2, 3)], [(3,), (2, 3), (2, 4)], "h after 1 is"),
        (
            "lstm_update",
            [(1, 3, 4), *PHI, (2, 4, 3), (2, 4, 3)],
            [(3, 4), (2, 4, 3)] * 2,
            "as many h",
        ),
        ("lstm_pull_back", [(1, 4, 3), (3, 4), *PHI, (2, 3), (2, 3)], PHI, "cotangents is"),
        ("lstm_vjp", [(1, 3), (3,), *PHI, *[(2, 3)] * 3], [*PHI, (1, 3), (2, 3)], "number"),
        ("blend_update", [*BLEND, *[(3, 4)] * 4], AFTER, "number of arrays"),
        ("blend_update", [*BLEND, *[(3, 4)] * 5], AFTER[1:], "number of results"),
        ("blend_update", [(20,), *BLEND[1:], *[(3, 4)] * 5], AFTER, "the numbers of the step is"),
        ("blend_update", [*BLEND[:2], (2, 13), *BLEND[3:], *[(3, 4)] * 5], AFTER, "W_1 is"),
        ("blend_update", [*BLEND, *[(3, 4)] * 4, (4, 3)], AFTER, "square 0 is"),
        ("blend_update", [*BLEND, *[(3, 4)] * 5], [*AFTER[:4], (2, 3)], "square after 0 is"),
        ("slide", [(1, 6, 6, 2), (2, 3, 2, 4)], [(1, 6, 6, 4)], "must be odd"),
        ("slide", [(1, 6, 6, 2), (3, 3, 3, 4)], [(1, 6, 6, 4)], "the window is"),
        ("slide_pull", [(1, 6, 6, 2), (1, 5, 6, 4)], [(3, 3, 2, 4)], "dy is"),
        ("pool", [(1, 5, 6, 2)], [(1, 2, 3, 2), (2,), (2,)], "must be even"),
        ("unpool", [(1, 4, 4, 2), *[(1, 2, 2, 2), (3,)] * 2, (2,)], [(1, 4, 4, 2)], "means is"),
    ],
)
def test_a_kernel_refuses_what_does_not_fit(
    kernel: str, args: list, results: list, complaint: str
) -> None:
    """`make torture` has thousands more."""
    given = [jnp.ones(shape, jnp.float32) for shape in args]
    options = ONE if kernel.startswith("lstm") else {}
    with pytest.raises(
        jax.errors.JaxRuntimeError, match=f"INVALID_ARGUMENT: {kernel}: .*{complaint}"
    ):
        jax.block_until_ready(call(kernel, results, *given, **options))


@pytest.mark.skipif(not kernels(), reason="no C++ compiler")
def test_a_kernel_refuses_another_dtype() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError, match="z is not of 32-bit floats"):
        jax.block_until_ready(
            call("pool", [(1, 2, 2, 1), (1,), (1,)], jnp.ones((1, 4, 4, 1), jnp.int32))
        )


@pytest.mark.skipif(not kernels(), reason="no C++ compiler")
def test_of_nothing_kernels_compute_what_the_reference_does() -> None:
    """Sums of no channels are 0, means of no images are NaN."""
    none = partial(jnp.ones, dtype=jnp.float32)
    (y,) = call("slide", [(1, 4, 4, 2)], none((1, 4, 4, 0)), none((3, 3, 0, 2)))
    assert not y.any()
    _, *moments = call("pool", [(0, 2, 2, 3), (3,), (3,)], none((0, 4, 4, 3)))
    assert all(np.isnan(moment).all() for moment in moments)


def test_flags_of_the_environment_make_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _kernels.compiler_flags()
    monkeypatch.setenv("METADESCENT_NATIVE_FLAGS", "-fsanitize=address -O1")
    assert _kernels.compiler_flags() == [*before, "-fsanitize=address", "-O1"]
