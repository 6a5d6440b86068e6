"""Two processes go where one would, from the page and for ten steps of several optimizers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
NAMES = ["mlp-robust-lstm", "classifier-lstm", "general"]


@pytest.mark.slow
def test_ddp_and_fsdp2(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*start, str(Path(__file__).with_name("processes.py")), *NAMES]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
