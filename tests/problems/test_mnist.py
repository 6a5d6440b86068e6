"""MNIST, and the architectures that differ from it in one thing each."""

import ast
from pathlib import Path

import jax
import pytest

from metadescent.problems.classifier import Classifier
from metadescent.problems.mnist import NAMED, make_mnist
from metadescent.registry import make_problem

KEY = jax.random.key(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, of zeros, ones and full ink."""
    pixels = bytes(784) + b"\x01" * 784 + b"\xff" * 784
    head = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(head + pixels)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 9, 0]))
    return tmp_path


def described(f: Classifier) -> tuple[tuple[int, ...], str]:
    return f.widths, f.activation


def test_it_is_a_classifier_of_the_training_images(folder: Path) -> None:
    f = make_mnist(hidden=(3,), theta_std=0.5, batch_size=7, data_dir=folder).sample(KEY)
    assert described(f) == ((784, 3, 10), "sigmoid")
    assert (f.theta_std, f.batch_size, f.white) == (0.5, 7, 255.0)
    assert f.images[:, 0].tolist() == [0, 1, 255]
    assert f.labels.tolist() == [7, 9, 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist", ((784, 20, 10), "sigmoid")),
        ("mnist-40", ((784, 40, 10), "sigmoid")),
        ("mnist-2-layers", ((784, 20, 20, 10), "sigmoid")),
        ("mnist-relu", ((784, 20, 10), "relu")),
        ("mnist-tanh", ((784, 20, 10), "tanh")),
        ("mnist-elu", ((784, 20, 10), "elu")),
        ("mnist-3-layers", ((784, 20, 20, 20, 10), "sigmoid")),
        ("mnist-160", ((784, 160, 10), "sigmoid")),
    ],
)
def test_the_architectures_that_have_names(folder: Path, name: str, expected: tuple) -> None:
    assert described(NAMED[name].make(data_dir=folder).sample(KEY)) == expected


@pytest.mark.parametrize("hidden", ["(40,)", "(40, 40)", "[40, 40]"])
def test_any_other_is_written_as_a_call(folder: Path, hidden: str) -> None:
    f = make_problem(f"mnist(hidden={hidden})", folder).sample(KEY)
    assert described(f) == ((784, *ast.literal_eval(hidden), 10), "sigmoid")


@pytest.mark.parametrize("name", NAMED)
def test_a_variant_takes_the_options_that_are_not_its_architecture(folder: Path, name: str) -> None:
    f = make_problem(f"{name}(batch_size=7, theta_std=0.5)", folder).sample(KEY)
    assert (f.batch_size, f.theta_std) == (7, 0.5)
    assert described(f) == described(make_problem(name, folder).sample(KEY))


def test_the_data_folder_may_come_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METADESCENT_DATA", str(folder))
    assert make_mnist().sample(KEY).images.shape == (3, 784)
