"""What trains JAX's models trains them by a learned optimizer, and goes on with the same bits."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
START = 2.3
"""log 10, which ten classes begin with."""


def test_flax_nnx_and_orbax(run_page: Callable, assert_same_bits: Callable) -> None:
    nnx = pytest.importorskip("flax.nnx")
    pytest.importorskip("orbax.checkpoint")
    names = run_page("JAX", "Flax NNX", "Orbax")
    assert names["loss"] < START / 4
    run = names["start"]()
    assert names["train"](*run, range(60)) == names["loss"]
    resumed = nnx.state((names["model"], names["optimizer"]))
    assert_same_bits(*(nnx.to_pure_dict(state) for state in (resumed, nnx.state(run))))


def test_equinox(run_page: Callable, assert_same_bits: Callable) -> None:
    import equinox as eqx

    names = run_page("JAX", "Equinox")
    assert names["loss"] < START / 4
    carry, loss = names["train"](names["start"](), range(60))
    assert loss == names["loss"]
    assert_same_bits(*(eqx.filter(x, eqx.is_array) for x in (names["carry"], carry)))


def test_optax_s_wrappers(run_page: Callable) -> None:
    losses = run_page("JAX", "Optax's wrappers")["losses"]
    # Two batches make a step of it.
    assert losses.pop("MultiSteps") < START / 2
    assert all(loss < START / 3 for loss in losses.values()), losses
    assert losses["apply_if_finite"] == pytest.approx(losses["alone"], rel=1e-4)


@pytest.mark.parametrize(
    ("program", "name"),
    [("equinox", "mlp-robust-lstm"), ("flax", "mlp-robust-lstm"), ("equinox", "general")],
)
def test_a_run_goes_on_with_more_devices_and_with_fewer(
    program: str, name: str, tmp_path: Path
) -> None:
    pytest.importorskip("orbax.checkpoint")
    pytest.importorskip(program)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = os.environ | {"XLA_FLAGS": flags}
    words = [sys.executable, str(Path(__file__).with_name("meshes.py")), program, name]
    done = subprocess.run(
        [*words, str(tmp_path)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 2 1 devices\n"
