"""`make fresh` measures what it says, and refuses to look up or connect to anything."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metadescent import zoo

PATH = Path(__file__).parent.parent / "tools" / "clean_install.py"


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("clean_install", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_import_is_quick_and_the_zoo_loads_offline(tool: Any, tmp_path: Path) -> None:
    """Here of the package under test; seconds on the processor, as others may be busy on it."""
    found = tool.measure(tmp_path, Path(sys.executable), repeats=2)
    assert 0 < found["processor"] <= tool.MOST_SECONDS
    assert 0 < found["seconds"] <= found["slowest"]
    assert set(found["zoo"]) == set(zoo.names())
    assert all(size > 1000 for size in found["zoo"].values())


@pytest.mark.parametrize(
    "call", ["socket.create_connection(('127.0.0.1', 9))", "socket.getaddrinfo('example.org', 80)"]
)
def test_who_asks_for_the_network_fails(call: str, tool: Any) -> None:
    program = f"import socket\n{tool.OFFLINE}\n{call}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is to be no network" in done.stderr


def test_a_command_that_fails_ends_it_in_its_own_words(tool: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"failed: .*no such wheel"):
        tool.said(tmp_path, [sys.executable, "-c", "raise SystemExit('no such wheel')"])


def test_it_takes_no_packages_and_no_home_along(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "METADESCENT_DATA", "JAX_PLATFORMS", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "here")
    variables = tool.environment(tmp_path)
    assert "here" not in variables.values()
    assert variables["HOME"] == str(tmp_path)
    assert variables["PATH"]
