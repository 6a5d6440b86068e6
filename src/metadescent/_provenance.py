"""What a result was computed on, and by which versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import jax


def hardware() -> str:
    """Return what the computation ran on, in words."""
    # A CPU's kind is just "cpu" to JAX.
    device = jax.devices()[0]
    kind = device.device_kind if device.platform != "cpu" else _cpu_name()
    return f"{kind}, {os.cpu_count()} cores, {jax.device_count()} {device.platform} device(s)"


def versions() -> dict[str, str]:
    """Return the versions that the result depends on."""
    packages = ("metadescent", "jax", "optax", "equinox", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
