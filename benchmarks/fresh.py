"""One meta-step in a process of its own: its first step, and its peak memory.

    python benchmarks/fresh.py CASE FORM [--steps 20]

Imports and inputs come first. Then the clock starts and the meta-step is compiled and run twice;
the clock stops after the first run. Our kernel in C++ is compiled or loaded within that time, and
`kernel` is how long it takes. Peak memory is the highest resident memory from there on, less
the resident memory before: compiling is part of it. `run_peak` starts after compiling instead; it
may reuse what compiling has freed. One line of JSON says it all.

The peak is `VmHWM` of /proc, set back before compiling, where there is one, and otherwise
`ru_maxrss`, which on Linux a child takes over from its parent.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from cases import CASES, STEPS, Case, make
from meta_step import FORMS, MetaStep
from timing import allowed_memory

from metadescent._ffi import kernels

PROC = Path("/proc/self")
CACHE = "JAX_COMPILATION_CACHE_DIR"


def spawn(name: str, form: str, *, steps: int = STEPS, **environment: str) -> dict[str, Any]:
    """Measure a form in a process of its own, with no compilation cache of JAX unless named."""
    command = [sys.executable, __file__, name, form, "--steps", str(steps)]
    inherited = {k: v for k, v in os.environ.items() if k != CACHE}
    done = subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"failed": f"status {done.returncode}: {done.stderr.strip()[-300:]}"}
    return json.loads(done.stdout.splitlines()[-1])


def cold_and_warm(name: str, form: str, *, warm: bool) -> dict[str, Any]:
    """Measure a form with all caches empty; if `warm`, its first step with a full one too.

    Our kernel is compiled into a cache folder as well, which XDG_CACHE_HOME names. Peak memory is
    that of a process that does not write what it compiles.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = spawn(name, form, XDG_CACHE_HOME=folder)
        if warm and "first" in result:
            caches = {
                "XDG_CACHE_HOME": folder,
                CACHE: f"{folder}/jax",
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            }
            spawn(name, form, **caches)
            result["warm"] = spawn(name, form, **caches).get("first")
    return result


def measure(case: Case, form: str) -> dict[str, Any]:
    """Measure a form in this process, which has done nothing else."""
    make_step, temporary = _torch(case) if form == "torch" else _jax(case, form)
    before = _start_peak()
    started = time.perf_counter()
    result: dict[str, Any] = {"before": before}
    if form in FORMS and FORMS[form].native and kernels():
        result["kernel"] = time.perf_counter() - started
    step = make_step()
    result |= {"compile": time.perf_counter() - started, "compile_peak": _peak() - before}
    result |= temporary()
    if result.get("predicted", 0) > allowed_memory():
        return result | {"skipped": True}
    again = _start_peak()
    jax.block_until_ready(step())
    result["first"] = time.perf_counter() - started
    jax.block_until_ready(step())
    run_peak = _peak()
    result["run_peak"] = run_peak - again
    result["peak"] = max(result["compile_peak"], run_peak - before)
    return result


def _jax(case: Case, form: str) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    step = MetaStep(case, form)

    def sizes() -> dict[str, Any]:
        return {"temporary": step.temporary_bytes(), "predicted": step.predicted_bytes()}

    return step.compile, sizes


def _torch(case: Case) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    from eager import EagerStep, predicted_bytes

    step = EagerStep(case)
    # The prediction runs a small meta-step where the case is large, so it comes before the clock.
    sizes = {"predicted": predicted_bytes(case)} if case.name == "million" else {}
    return lambda: step, lambda: sizes


def _start_peak() -> int:
    """Forget the peak so far and return the resident memory, in bytes."""
    try:
        (PROC / "clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int:
    lines = (PROC / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Measure one form of one case and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("form", choices=[*FORMS, "torch"])
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    print(json.dumps(measure(make(arguments.case, steps=arguments.steps), arguments.form)))


if __name__ == "__main__":
    main()
