"""Checkpoints of torchvision's VGG-19 and SqueezeNet 1.1, as the arrays of `data.networks`.

In torchvision a layer is `features.N.weight`, OIHW. The input is red, green and blue in [0, 1],
minus a mean m and divided by a standard deviation s. Let p be a pixel from 0 to 255, `mean` the
mean of `data.networks`, and m' = 255 m. Then

    w · (p/255 − m)/s + b  =  (w / 255 s) · (p − mean)  +  (b + Σ w · (mean − m') / 255 s)

so only the first layer changes. The result is exact except at the outermost pixels, if the first
layer has zeros around the picture. There the error is as large as that of changing them by half a
grey level.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from metadescent._errors import UserError
from metadescent.problems.data.networks import MEAN, Shape, Weights, fitting

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green, blue
# The N of each layer, in the order of the layers.
_VGG19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
_SQUEEZENET = {f"fire{n}": place for n, place in enumerate((3, 4, 6, 7, 9, 10, 11, 12), start=2)}


def from_torchvision(
    net: str,
    state: Mapping[str, NDArray],
    shapes: Mapping[str, Shape],
    source: str,
    caffe: bool = False,
) -> Weights:
    """Return the arrays that `shapes` lists, from the state of torchvision's network.

    With `caffe` its input is already blue, green and red minus their means. Errors name `source`.
    """
    # `shapes` has each layer twice, with a kernel and a bias; the order of the layers is kept.
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in shapes))
    places = _VGG19 if net == "vgg19" else map(_squeezenet_place, layers)
    weights: Weights = {}
    for layer, place in zip(layers, places, strict=True):
        down, right, before, after = shapes[f"{layer}.kernel"]
        name, oihw = f"features.{place}", (after, before, down, right)
        kernel = fitting(state, f"{name}.weight", oihw, source).transpose(2, 3, 1, 0)
        bias = fitting(state, f"{name}.bias", (after,), source)
        if layer == layers[0] and not caffe:
            kernel, bias = _take_up(kernel, bias)
        weights |= {f"{layer}.kernel": kernel, f"{layer}.bias": bias}
    return {name: np.ascontiguousarray(array) for name, array in weights.items()}


def read_checkpoint(path: Path | str) -> dict[str, NDArray]:
    """Return the arrays of a checkpoint by name, from a `.safetensors` or, by PyTorch, a `.pth`."""
    path = Path(path)
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise UserError(f"{path} is no checkpoint; it must end in .safetensors, .pth or .pt")
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        import torch

        # With `weights_only` no code that is pickled in a file runs.
        with path.open("rb") as stream:
            state = torch.load(stream, map_location="cpu", weights_only=True)
        return {name: value.numpy() for name, value in state.items()}
    except ImportError as error:
        raise UserError(
            f"reading {path} takes PyTorch, which is not installed; try pip install torch, or save "
            "the checkpoint as .safetensors"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error
    except Exception as error:  # PyTorch may raise any class on a damaged file.
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is damaged or no checkpoint: {reason}; copy it again") from error


def _squeezenet_place(layer: str) -> str:
    if layer == "conv1":
        return "0"
    fire, part = layer.split(".")
    return f"{_SQUEEZENET[fire]}.{part.replace('squeeze1x1', 'squeeze')}"


def _take_up(
    kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the first layer for pixels from 0 to 255 in blue, green and red, minus their means."""
    scale = 255 * np.asarray(_STD[::-1])
    shift = (np.asarray(MEAN) - 255 * np.asarray(_MEAN[::-1])) / scale
    # In double precision: the bias sums up 27 products for each channel.
    turned = kernel[:, :, ::-1].astype(np.float64)
    moved = bias + np.einsum("ijco,c->o", turned, shift)
    return (turned / scale[:, None]).astype(np.float32), moved.astype(np.float32)
