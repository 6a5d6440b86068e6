"""The weights of networks: what is read, refused, and converted from torchvision's layout."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from metadescent.problems.data.networks import FILES, MEAN, load_network, network_path
from metadescent.problems.data.torchvision import from_torchvision, read_checkpoint
from metadescent.problems.neural_art import squeezenet, vgg19

SHAPES = {"squeezenet": squeezenet.SHAPES, "vgg19": vgg19.SHAPES}
DATA = os.environ.get("METADESCENT_DATA", "")
# The layers of a short network with VGG-19's first places, and of SqueezeNet's first module.
SHORT = {
    "conv1.kernel": (3, 3, 3, 5),
    "conv1.bias": (5,),
    "fire2.squeeze1x1.kernel": (1, 1, 5, 2),
    "fire2.squeeze1x1.bias": (2,),
    "fire2.expand3x3.kernel": (3, 3, 2, 4),
    "fire2.expand3x3.bias": (4,),
}
PLACES = {"conv1": "0", "fire2.squeeze1x1": "3.squeeze", "fire2.expand3x3": "3.expand3x3"}


def write(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    path = network_path("squeezenet", folder)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save(arrays))
    return path


def state() -> dict[str, np.ndarray]:
    """A checkpoint of torchvision's layout: OIHW."""
    draw = np.random.default_rng(0).normal
    arrays = {}
    for layer, place in PLACES.items():
        down, right, before, after = SHORT[f"{layer}.kernel"]
        arrays[f"features.{place}.weight"] = draw(size=(after, before, down, right))
        arrays[f"features.{place}.bias"] = draw(size=after)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def test_arrays_come_as_float32_and_others_stay_out(tmp_path: Path) -> None:
    kernel = np.arange(12, dtype=np.float16).reshape(1, 1, 3, 4)
    write(tmp_path, {"a.kernel": kernel, "b.kernel": kernel})
    arrays = load_network("squeezenet", {"a.kernel": (1, 1, 3, 4)}, tmp_path)
    assert list(arrays) == ["a.kernel"]
    assert arrays["a.kernel"].dtype == np.float32
    np.testing.assert_array_equal(arrays["a.kernel"], kernel)


def test_what_does_not_fit_is_refused(
    tmp_path: Path, sentence: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network_path("squeezenet", tmp_path)
    said = sentence(load_network, "squeezenet", {}, tmp_path)
    assert said == (
        f"{path} is missing; try pip install torch && metadescent convert "
        f"squeezenet1_1-b8a52dc0.pth squeezenet --out {path}, which downloads it, or set "
        "METADESCENT_DATA or --data-dir to a folder that has it"
    )
    monkeypatch.setenv("METADESCENT_DATA", str(tmp_path))
    assert sentence(load_network, "squeezenet", {}) == said.replace(f" --out {path}", "")
    write(tmp_path, {"a.kernel": np.zeros((1, 1, 3, 4))})
    assert sentence(load_network, "squeezenet", {"b.kernel": (3,)}, tmp_path) == (
        f"{path} lacks b.kernel; it is of another network, or a part of this one"
    )
    assert sentence(load_network, "squeezenet", {"a.kernel": (3,)}, tmp_path) == (
        f"a.kernel of {path} has shape (1, 1, 3, 4) where (3,) is expected; "
        "it is of another network"
    )
    path.write_bytes(path.read_bytes()[:50])
    assert sentence(load_network, "squeezenet", {}, tmp_path).startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("name", FILES)
def test_the_real_ones_have_the_shapes(name: str) -> None:
    if not network_path(name, DATA or None).is_file():
        pytest.skip("the network is not on this disk")
    arrays = load_network(name, SHAPES[name])
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert all(array.std() > 0 for array in arrays.values())


def first_layer(pixels: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,ijco->hwo", windows, kernel) + bias


def test_a_converted_first_layer_gives_the_same_for_other_pixels() -> None:
    """In torchvision's units and in this package's, on one picture."""
    checkpoint = state()
    arrays = from_torchvision("squeezenet", checkpoint, SHORT, "it")
    picture = np.random.default_rng(1).integers(0, 256, (6, 7, 3)).astype(float)
    theirs = (picture / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    kernel = checkpoint["features.0.weight"].transpose(2, 3, 1, 0)
    expected = first_layer(theirs, kernel, checkpoint["features.0.bias"])
    ours = picture[..., ::-1] - MEAN
    np.testing.assert_allclose(
        first_layer(ours, arrays["conv1.kernel"], arrays["conv1.bias"]), expected, atol=1e-4
    )


def test_axes_are_turned_and_nothing_else_of_later_layers_or_caffe_s() -> None:
    checkpoint = state()
    arrays = from_torchvision("squeezenet", checkpoint, SHORT, "it", caffe=True)
    assert {name: array.shape for name, array in arrays.items()} == SHORT
    for layer, place in PLACES.items():
        weight = checkpoint[f"features.{place}.weight"]
        np.testing.assert_array_equal(arrays[f"{layer}.kernel"], weight.transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(arrays[f"{layer}.bias"], checkpoint[f"features.{place}.bias"])


def test_a_checkpoint_of_another_network_is_refused(sentence: Callable) -> None:
    checkpoint = state()
    checkpoint["features.3.squeeze.weight"] = np.zeros((2, 7, 1, 1), np.float32)
    assert sentence(from_torchvision, "squeezenet", checkpoint, SHORT, "it.pth") == (
        "features.3.squeeze.weight of it.pth has shape (2, 7, 1, 1) where (2, 5, 1, 1) is "
        "expected; it is of another network"
    )
    del checkpoint["features.3.squeeze.weight"]
    assert sentence(from_torchvision, "squeezenet", checkpoint, SHORT, "it.pth") == (
        "it.pth lacks features.3.squeeze.weight; it is of another network, or a part of this one"
    )


def test_checkpoints_are_read_from_safetensors(tmp_path: Path, sentence: Callable) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(state()))
    arrays = read_checkpoint(path)
    np.testing.assert_array_equal(arrays["features.0.bias"], state()["features.0.bias"])
    path.write_bytes(b"nonsense")
    assert sentence(read_checkpoint, path).startswith(f"{path} is damaged or no checkpoint: ")
    assert sentence(read_checkpoint, tmp_path / "b.safetensors") == (
        f"cannot read {tmp_path / 'b.safetensors'}: No such file or directory; check the path"
    )
    assert sentence(read_checkpoint, "a.h5") == (
        "a.h5 is no checkpoint; it must end in .safetensors, .pth or .pt"
    )


@pytest.mark.slow
def test_checkpoints_are_read_by_pytorch_where_it_is(tmp_path: Path, sentence: Callable) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    torch.save({name: torch.from_numpy(array) for name, array in state().items()}, path)
    arrays = read_checkpoint(path)
    np.testing.assert_array_equal(arrays["features.0.weight"], state()["features.0.weight"])
    path.write_bytes(b"nonsense")
    assert sentence(read_checkpoint, path).startswith(f"{path} is damaged or no checkpoint: ")
