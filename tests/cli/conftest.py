"""What tests of commands share: the least training there is, and small files to work on.

Nothing here imports metadescent before a test asks for it, and jaxtyping's hook is in place.
"""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TINY = {
    "optimizer": "lstm(layers=(4,), p=None, scale=1.0)",
    "steps": 4,
    "unroll": 2,
    "problems": 2,
    "epochs": 2,
    "episodes": 2,
    "validation_problems": 2,
}


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Choices of a recipe that trains in no time."""
    return dict(TINY)


@pytest.fixture(scope="session")
def flags() -> list[str]:
    """The same as words; a flag that comes after them goes before."""
    return [
        word for name, value in TINY.items() for word in ("--" + name.replace("_", "-"), str(value))
    ]


@pytest.fixture
def train(metadescent: Callable, flags: list[str]) -> Callable:
    """Run `train` on little work."""

    def run(*words: str, problem: str = "quadratic") -> tuple[int, str, str]:
        return metadescent("train", problem, *flags, *words)

    return run


@pytest.fixture(scope="session")
def save() -> Callable:
    """Write the file of an optimizer that has learned nothing."""
    import jax

    from metadescent import zoo
    from metadescent.registry import make_optimizer

    def of(path: Path, **card: Any) -> Path:
        m = make_optimizer(TINY["optimizer"], jax.random.key(0))
        zoo.save(path, m, optimizer=TINY["optimizer"], **card)
        return path

    return of


@pytest.fixture
def m(save: Callable, tmp_path: Path) -> str:
    """The file of an optimizer."""
    return str(save(tmp_path / "mine.safetensors"))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Do what words ask for in a folder of their own; return it and what was printed.

    For what several tests look at and none changes.
    """
    import pooch

    from metadescent import cli

    def of(*words: str) -> tuple[Path, str, str]:
        folder, out, said = tmp_path_factory.mktemp("once"), io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pooch, "os_cache", lambda project: folder / "cache" / project)
            with chdir(folder), redirect_stdout(out), redirect_stderr(said):
                cli._parse(words).run()
        return folder, out.getvalue(), said.getvalue()

    return of


@pytest.fixture(scope="session")
def trained(once: Callable, flags: list[str]) -> tuple[Path, str, str]:
    """A run on little work: its folder, and what was printed."""
    folder, out, said = once("train", "quadratic", *flags)
    return folder / "runs" / "quadratic", out, said


@pytest.fixture(scope="session")
def evaluated(once: Callable, trained: tuple[Path, str, str]) -> tuple[dict[str, Any], str]:
    """What `evaluate` says of that run, as JSON and in print."""
    words = ("--steps", "4", "--seeds", "3", "--tune-seeds", "12", "--json", "e.json")
    words += ("--against", "sgd,nag")
    folder, out, _ = once("evaluate", str(trained[0]), "quadratic", *words)
    return json.loads((folder / "e.json").read_text()), out


@pytest.fixture
def run(metadescent: Callable, trained: tuple[Path, str, str]) -> Path:
    """The same run in a folder r, where commands run."""
    return shutil.copytree(trained[0], Path("r"))


@pytest.fixture(scope="session")
def one_sentence() -> Callable:
    """What a command that failed says, which is one line, on the error stream, and no traceback."""

    def of(result: tuple[int, str, str]) -> str:
        status, out, said = result
        assert (status, out) == (2, "")
        assert said.startswith("metadescent: ")
        assert said.count("\n") == 1
        return said.removeprefix("metadescent: ").rstrip("\n")

    return of


@pytest.fixture(scope="session")
def check_evaluation() -> Callable:
    """Check that a comparison is written as docs/command-line.md says."""

    def check(
        found: Any,
        problem: str,
        learned: str,
        baselines: Any,
        *,
        steps: int,
        seeds: int,
        timed: bool = True,
    ) -> None:
        assert list(found) == [
            "problem",
            "steps",
            "seeds",
            "curves",
            "hardware",
            "versions",
            "minutes",
            *(["seconds_per_step"] if timed else []),
        ]
        if timed:
            assert list(found["seconds_per_step"]) == list(found["curves"])
            assert min(found["seconds_per_step"].values()) > 0
        assert (found["problem"], found["steps"], found["seeds"]) == (problem, steps, seeds)
        assert list(found["curves"]) == [learned, *baselines]
        for name, curve in found["curves"].items():
            assert list(curve) == ["mean", "ci95", "final", "sum", "rate", "diverged"]
            mean, (low, high) = np.asarray(curve["mean"]), np.transpose(curve["ci95"])
            assert mean.shape == low.shape == high.shape == (steps,)
            assert (low <= mean).all()
            assert (mean <= high).all()
            assert curve["final"] == mean[-1]
            # The JSON of a figure has six digits.
            assert curve["sum"] == pytest.approx(mean.sum(), rel=1e-5)
            assert (curve["rate"] is None) == (name == learned)
        assert isinstance(found["hardware"], str)
        assert {"python", "jax", "metadescent"} <= set(found["versions"])
        assert found["minutes"] >= 0

    return check


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """Import what commands do, so that no test is charged with it."""
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.backends.backend_svg  # noqa: F401

    from metadescent import registry
    from metadescent.cli import painting, training  # noqa: F401

    registry.optimizers()
    registry.problems()
    registry.make_estimator("truncated")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a network, drawn at random, and a style."""
    from safetensors.numpy import save

    from metadescent.problems.data.networks import network_path
    from metadescent.problems.data.pictures import write_picture
    from metadescent.problems.neural_art import squeezenet

    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=shape, scale=np.sqrt(2 / np.prod(shape[:-1] or (100,))))
        for name, shape in squeezenet.SHAPES.items()
    }
    path = network_path("squeezenet", folder)
    path.parent.mkdir()
    path.write_bytes(save({name: array.astype(np.float32) for name, array in arrays.items()}))
    for name in ("style/waves.png", "photo.png"):
        pixels = rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)
        write_picture(folder / name, pixels)
    return folder
