"""Kernels in C++ for a CPU, compiled on first use where the machine has a compiler.

XLA's own code for a small LSTM writes every gate to memory and reads it back; a kernel that keeps
them in registers does the same arithmetic in a fraction of the time (`make bench`). A kernel only
saves time: the optimizers' JAX code is the reference, and it runs where there is no compiler, on a
GPU, or with `METADESCENT_NATIVE=0` in the environment.
"""

import ctypes
import functools
from pathlib import Path

import jax
import jax.numpy as jnp

from metadescent import _kernels

KERNELS = (
    *("lstm_update", "lstm_pull_back", "lstm_vjp", "blend_update"),
    *("slide", "slide_pull", "pool", "unpool"),
)


@functools.cache
def kernels() -> dict[str, str]:
    """Return the names under which XLA knows the kernels; empty where there are none."""
    # The first call compiles and loads them.
    path = library()
    if path is None:
        return {}
    loaded = ctypes.CDLL(str(path))
    # The digest in the name keeps JAX's compilation cache from calling a kernel of other sources.
    names = {kernel: f"metadescent_{kernel}_{path.stem}" for kernel in KERNELS}
    for kernel, name in names.items():
        capsule = jax.ffi.pycapsule(getattr(loaded, f"metadescent_{kernel}"))
        jax.ffi.register_ffi_target(name, capsule, platform="cpu")
    return names


def is_on_one_device() -> bool:
    """Tell whether the arrays of a computation are whole, each on one device."""
    # Within `jax.shard_map` all axes of the mesh are manual. Elsewhere, where there are several
    # devices, XLA may have arrays in shards, which is not known while a function is traced.
    mesh = jax.sharding.get_abstract_mesh()
    is_manual = bool(mesh.axis_names) and set(mesh.manual_axes) == set(mesh.axis_names)
    return is_manual or jax.device_count() == 1


def can_run(*arrays: jax.Array) -> bool:
    """Tell whether there are kernels for arrays of this dtype, on the devices that hold them."""
    # A kernel needs an array as a whole, so XLA would copy all shards of it to every device.
    # JAX's own code is split into shards.
    return all(x.dtype == jnp.float32 for x in arrays) and is_on_one_device() and bool(kernels())


def library() -> Path | None:
    """Compile the kernels, unless the cache has them, and return the library, or None."""
    # JAX comes with the headers of XLA's foreign function interface.
    headers = jax.ffi.include_dir()
    sources = sorted(path for folder in _kernels.FOLDERS for path in folder.glob("*.cc"))
    # Nobody on a GPU needs to hear that there is no compiler.
    costs = "a meta-step takes 3" if jax.default_backend() == "cpu" else None
    return _kernels.compiled(
        sources, instead="JAX's", costs=costs, system=headers, version=jax.__version__
    )
