"""The weights of pretrained networks, as arrays by name: `<layer>.kernel` and `<layer>.bias`.

Kernels are HWIO (height, width, channels in, channels out) and are not flipped; the input is blue,
green and red from 0 to 255, minus `MEAN`. `metadescent convert` converts public checkpoints of
PyTorch to this form.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from metadescent._errors import UserError
from metadescent.problems.data import store

FILES = {
    "squeezenet": "squeezenet1_1_features.safetensors",
    "vgg19": "vgg19_conv1_1_to_conv5_1.safetensors",
}
_HOME = "https://download.pytorch.org/models/"
PUBLISHED = {
    net: store.Remote(f"nets/{file}", (_HOME + file,), sha256)
    for net, file, sha256 in [
        (
            "squeezenet",
            "squeezenet1_1-b8a52dc0.pth",
            "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        ),
        (
            "vgg19",
            "vgg19-dcbb9e9d.pth",
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        ),
    ]
}
"""torchvision's checkpoints, which `metadescent convert` downloads and makes the files from."""
# The means of blue, green and red over ImageNet, which are subtracted from the networks' input.
MEAN = (103.939, 116.779, 123.68)

Shape = tuple[int, ...]
Weights = dict[str, NDArray[np.float32]]


def network_path(name: str, data_dir: str | Path | None = None) -> Path:
    """Return the place of a network's file in the data folder; it need not be there yet."""
    return store.data_dir(data_dir) / "nets" / FILES[name]


def load_network(
    name: str, shapes: Mapping[str, Shape], data_dir: str | Path | None = None
) -> Weights:
    """Return the weights that `shapes` names, as float32; they must have the shapes it gives."""
    path = network_path(name, data_dir)
    try:
        arrays = load(path.read_bytes())
    except FileNotFoundError as error:
        checkpoint = PurePosixPath(PUBLISHED[name].path).name
        there = f" --out {shlex.quote(str(path))}" if data_dir is not None else ""
        raise UserError(
            f"{path} is missing; try pip install torch && metadescent convert {checkpoint} {name}"
            f"{there}, which downloads it, or set METADESCENT_DATA or --data-dir to a folder that "
            "has it"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the file") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; make it or copy it again") from error
    return {key: fitting(arrays, key, shape, str(path)) for key, shape in shapes.items()}


def fitting(
    arrays: Mapping[str, NDArray], name: str, shape: Shape, source: str
) -> NDArray[np.float32]:
    """Return the array with this name as float32; it must have this shape. Errors name `source`."""
    if name not in arrays:
        raise UserError(f"{source} lacks {name}; it is of another network, or a part of this one")
    if arrays[name].shape != shape:
        raise UserError(
            f"{name} of {source} has shape {arrays[name].shape} where {shape} is expected; "
            "it is of another network"
        )
    return arrays[name].astype(np.float32)
