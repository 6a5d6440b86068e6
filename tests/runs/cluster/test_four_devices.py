"""Four devices of one process, in a process of its own, beside one: the same to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Programs for four devices take long to compile.
pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "on_four_devices.py"
ROUNDING = 1e-5


def on_four_devices(*names: str) -> dict[str, Any]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *names],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "XLA_FLAGS": flags},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return on_four_devices(
        *("meta_gradients", "run", "not_finite", "kernels", "averages", "coordinates"),
        "sharded_parameters",
    )


def test_four_devices_give_the_meta_gradient_of_one(results: dict[str, Any]) -> None:
    assert set(results["meta_gradients"]) >= {"two phases", "recomputed", "pes", "imitation"}
    assert max(results["meta_gradients"].values()) < ROUNDING


def test_four_devices_train_and_validate_as_one(results: dict[str, Any]) -> None:
    assert max(results["run"].values()) < ROUNDING


@pytest.mark.parametrize("policy", ["skip", "restart-from-best"])
def test_four_devices_meet_what_is_not_finite_as_one(policy: str, results: dict[str, Any]) -> None:
    case = results["not_finite"][policy]
    one, four = case["broken"]
    assert one == four
    assert 0 < sum(one) < 12
    assert case["best epoch"] > 0
    assert case["states"] < ROUNDING


def test_kernels_run_within_a_map_and_not_on_what_may_be_sharded(results: dict[str, Any]) -> None:
    from metadescent._ffi import kernels

    assert results["kernels"]["kernel in the map"] is bool(kernels())
    assert results["kernels"]["kernel on shards"] is False
    assert results["kernels"]["apart"] < ROUNDING


def test_a_coordinatewise_update_needs_no_exchange(results: dict[str, Any]) -> None:
    assert results["kernels"]["exchanges"] == []


def test_the_state_takes_the_sharding_of_the_parameters(results: dict[str, Any]) -> None:
    cases = dict(results["sharded_parameters"])
    assert cases.pop("model") in ("flax", "equinox")
    assert len(cases) == 4
    for name, case in cases.items():
        assert case["apart"] < ROUNDING, name
        # A quarter, and the whole of the few leaves that four devices cannot share.
        assert case["h"] < 0.3, name
        assert case["h after"] < 0.3, name


def test_global_averages_are_of_the_coordinates_of_all_devices(results: dict[str, Any]) -> None:
    for name, case in results["averages"].items():
        assert case["apart"] < ROUNDING, name
    assert results["averages"]["even"]["h"] == 0.25


def test_of_sharded_coordinates_the_gradient_of_phi_alone_is_exchanged(
    results: dict[str, Any],
) -> None:
    case = results["coordinates"]
    assert case["apart"] < ROUNDING
    assert case["exchanges"] == ["all-reduce"]
    assert case["begin"] == case["end"] == 0.25


def test_no_device_holds_the_state_of_ten_million_coordinates() -> None:
    case = on_four_devices("ten million")["ten million"]
    assert case["finite"]
    assert case["begin"] < 0.3
    assert case["end"] < 0.3
