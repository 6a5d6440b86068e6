"""Kernels in C++ for a CPU, compiled on first use where the machine has a compiler.

XLA's own code for a small LSTM writes every gate to memory and reads it back; a kernel that keeps
them in registers does the same arithmetic in a fraction of the time (`make bench`). It is an
accelerator and nothing more: the optimizers' JAX code is the reference, and is what runs where
there is no compiler, on a GPU, or with `METADESCENT_NATIVE=0` in the environment.

The library is compiled by `$CXX`, `c++`, `g++` or `clang++` into the platform's cache folder, under
a name made of its sources, the compiler and the processor, so nothing stale is ever loaded.
"""

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-w")
KERNELS = ("lstm_update", "lstm_pull_back", "lstm_vjp", "slide", "slide_pull", "pool", "unpool")


@functools.cache
def kernels() -> dict[str, str]:
    """Return the names under which XLA knows the kernels; empty where there are none.

    The first call compiles and loads them.

    Example:
        >>> set(kernels()) <= set(KERNELS)
        True
    """
    path = build()
    if path is None:
        return {}
    library = ctypes.CDLL(str(path))
    # The digest in the name keeps JAX's compilation cache from calling a kernel of other sources.
    names = {kernel: f"metadescent_{kernel}_{path.stem}" for kernel in KERNELS}
    for kernel, name in names.items():
        capsule = jax.ffi.pycapsule(getattr(library, f"metadescent_{kernel}"))
        jax.ffi.register_ffi_target(name, capsule, platform="cpu")
    return names


def can_run(*arrays: jax.Array) -> bool:
    """Return whether there are kernels, and for arrays of this kind."""
    return all(x.dtype == jnp.float32 for x in arrays) and bool(kernels())


def build() -> Path | None:
    """Compile the kernels, unless the cache has them, and return the library, or None.

    That there is no compiler is no news; one that fails is worth a warning.
    """
    compiler = _compiler()
    if os.environ.get("METADESCENT_NATIVE") == "0" or compiler is None:
        return None
    try:
        return _library(compiler, _digest(compiler))
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", "") or str(error)).strip()[:500]
        warnings.warn(f"no C++ kernels, JAX's own code runs instead: {detail}", stacklevel=2)
        return None


def _compiler() -> str | None:
    candidates = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, filter(None, candidates))), None)


def _digest(compiler: str) -> str:
    """Return a name for what the library depends on."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob("*.cc"), *SOURCES.glob("*.h")]):
        digest.update(path.read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    for part in (version, _processor(), jax.__version__, *FLAGS):
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """Return what `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.machine() + platform.processor()


def _library(compiler: str, digest: str) -> Path:
    """Return the compiled library, compiling it if the cache does not have it."""
    import pooch

    folder = Path(pooch.os_cache("metadescent")) / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / f"{digest}.so"
        if library.exists():
            return library
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp"):
            pass
    except OSError:  # a cache that cannot be written only costs time
        own = tempfile.mkdtemp(prefix="metadescent-")
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        library = Path(own) / f"{digest}.so"
    # Written beside and renamed: two processes may be at it, and either result will do.
    handle, beside = tempfile.mkstemp(dir=library.parent, suffix=".tmp")
    os.close(handle)
    command = [compiler, *FLAGS, "-isystem", jax.ffi.include_dir(), "-o", beside]
    try:
        subprocess.run(
            [*command, *map(str, SOURCES.glob("*.cc"))], capture_output=True, text=True, check=True
        )
        os.replace(beside, library)
    finally:
        Path(beside).unlink(missing_ok=True)
    return library
