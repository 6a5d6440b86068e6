"""Settings for every test; nothing here may import metadescent, before jaxtyping's hook does.

Environment variables rather than JAX's own configuration, so that tests which start a process of
their own hand them on, and so that tests without JAX stay without it.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

DATA = ROOT.parent / "shared" / "data"
if not os.environ.get("METADESCENT_DATA") and DATA.is_dir():
    os.environ["METADESCENT_DATA"] = str(DATA)

# The first example of a property compiles it, so neither its time nor the data's says anything.
settings.register_profile(
    "metadescent",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("metadescent")


def pytest_configure(config):
    """Leave the examples in `metadescent.torch` out where torch is not installed."""
    if find_spec("torch") is None:
        bridge = ROOT / "src" / "metadescent" / "torch.py"
        config.option.ignore = [*(config.option.ignore or []), str(bridge)]
