"""Every task, made on a few pictures of noise in place of MNIST and CIFAR-10."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.bench.task import Split, every_task
from metadescent.problems.data import store


def write_pictures(folder: Path) -> None:
    """Twenty pictures for each set that is read."""
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = random.integers(0, 256, 20 * 784, dtype=np.uint8).tobytes()
        for name, head, values in (
            (f"{part}-images-idx3-ubyte", [3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28], images),
            (f"{part}-labels-idx1-ubyte", [1, 0, 0, 0, 20], bytes(range(10)) * 2),
        ):
            (folder / name).write_bytes(bytes([0, 0, 8, *head]) + values)
    for batch in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch_first1000"):
        records = random.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = [*range(10)] * 2
        (folder / f"{batch}.bin").write_bytes(records.tobytes())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def splits(pictures: Path) -> dict[str, Split]:
    """Return what has been made of every task; of one whose data is not there, nothing."""
    return made_of(pictures)


def made_of(folder: Path) -> dict[str, Split]:
    made = {}
    for name, task in every_task().items():
        # Neither scikit-learn nor the pictures need be there.
        with suppress(UserError):
            made[name] = task.make(folder)
    return made


@pytest.fixture(scope="session")
def on_real_data() -> dict[str, Split]:
    """Return every task whose data is on this disk; nothing is downloaded."""
    folder = os.environ.get("METADESCENT_DATA") or store.BESIDE
    with pytest.MonkeyPatch.context() as patch:
        import pooch

        def no_network(url: str, **_: object) -> str:
            raise ConnectionError(url)

        patch.setattr(pooch, "retrieve", no_network)
        return made_of(Path(folder))
