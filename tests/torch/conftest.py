"""Optimizers of every kind that PyTorch has, in files that JAX wrote."""

import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore = ["bad_input.py", "sharded.py"]  # programs that tests start
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of an optimizer with φ drawn at random, given its specification."""
    import jax

    from metadescent.registry import make_optimizer
    from metadescent.zoo import file as artifact

    folder, paths = tmp_path_factory.mktemp("optimizers"), {}

    def path_of(spec: str) -> Path:
        if spec not in paths:
            path = folder / f"{len(paths)}.safetensors"
            # The same φ in whatever order tests run.
            key = jax.random.key(zlib.crc32(spec.encode()))
            artifact.save(path, make_optimizer(spec, key), optimizer=spec)
            paths[spec] = path
        return paths[spec]

    return path_of
