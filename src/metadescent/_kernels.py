"""C++ sources are compiled into a library on first use, where the machine has a compiler.

They are compiled by `$CXX`, `c++`, `g++` or `clang++` into the platform's cache folder, under a
name made of the sources, the compiler and the processor, so nothing stale is ever loaded.
"""

import atexit
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-pthread", "-w")
# The folders of the sources of XLA's kernels, with headers that PyTorch's kernels include too.
FOLDERS = tuple(Path(__file__).parent / room / "native" for room in ("problems", "optimizers"))
SAID = "METADESCENT_NATIVE_SAID"
"""Set in the environment once a line has said that there is no compiler, for child processes."""


def compiled(
    sources: Sequence[Path],
    *,
    instead: str,  # whose code runs where there is no library, for the warning
    costs: str | None = None,  # for the warning: what takes how many times as long
    system: str | None = None,  # a folder of headers from elsewhere
    version: str = "",  # of these headers
) -> Path | None:
    """Return the library of these sources, or None; it is compiled unless the cache has it."""
    if os.environ.get("METADESCENT_NATIVE") == "0":
        return None
    program = compiler()
    if program is None:
        if costs and SAID not in os.environ:
            os.environ[SAID] = "1"
            # The warning is one line unless the user has set up logging otherwise.
            text = f"Warning: no C++ compiler (g++, clang++), so {costs} times as long."
            logging.getLogger("metadescent").warning(text)
        return None
    includes = [f"-I{folder}" for folder in FOLDERS]
    arguments = [*compiler_flags(), *includes, *(["-isystem", system] if system else [])]
    try:
        library = _path(f"{_digest(program, sources, version)}.so")
        if not library.exists():
            _compile([program, *arguments], sources, library)
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", "") or str(error)).strip()[:500]
        message = f"no C++ kernels, {instead} own code runs instead: {detail}"
        warnings.warn(message, stacklevel=3)
        return None
    return library


def compiler_flags() -> list[str]:
    """Return the compiler's flags; METADESCENT_NATIVE_FLAGS may add a sanitizer."""
    return [*FLAGS, *shlex.split(os.environ.get("METADESCENT_NATIVE_FLAGS", ""))]


def compiler() -> str | None:
    """Return the compiler, or None if there is none."""
    candidates = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, filter(None, candidates))), None)


def _digest(compiler: str, sources: Sequence[Path], version: str) -> str:
    """Return a name for what the library depends on."""
    digest = hashlib.sha256()
    headers = [path for folder in FOLDERS for path in folder.glob("*.h")]
    for path in [*sorted(sources), *sorted(headers)]:
        digest.update(path.read_bytes())
    known = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    for part in (known, _processor(), version, *compiler_flags()):
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """Return what `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.machine() + platform.processor()


def _path(name: str) -> Path:
    """Return where a library lies or may be written."""
    import pooch

    folder = Path(pooch.os_cache("metadescent")) / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp"):
                pass
    except OSError:  # a cache that cannot be written only costs time
        folder = Path(tempfile.mkdtemp(prefix="metadescent-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / name


def _compile(command: Sequence[str], sources: Sequence[Path], library: Path) -> None:
    """Compile sources in parallel, and link them."""
    # It is renamed once it is whole, as two processes may compile it; either result will do.
    with tempfile.TemporaryDirectory(dir=library.parent, suffix=".tmp") as folder:
        objects = [f"{folder}/{number}.o" for number, _ in enumerate(sources)]
        calls = [[*command, "-c", str(s), "-o", o] for s, o in zip(sources, objects, strict=True)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, calls))
        _run([*command, *objects, "-o", f"{folder}/library"])
        os.replace(f"{folder}/library", library)


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
