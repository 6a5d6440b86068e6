"""Examples of `docs/stacks.md` run in a folder of their own, where their packages are."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

collect_ignore = ["page.py", "processes.py", "meshes.py"]  # what tests load and start


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    return runpy.run_path(str(Path(__file__).with_name("page.py")))["run"]
