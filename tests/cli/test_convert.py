"""`convert`, of a network drawn at random."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from metadescent.problems.data.networks import load_network, network_path
from metadescent.problems.neural_art import squeezenet


def test_convert_makes_what_stylize_reads(metadescent: Callable, data: Path) -> None:
    """From torchvision's layout, of this package's own arrays turned around."""
    arrays = load_network("squeezenet", squeezenet.SHAPES, data)
    places = dict(zip(squeezenet.LAYERS, (0, 3, 4, 6, 7, 9, 10, 11, 12), strict=True))
    state = {}
    for name, array in arrays.items():
        layer, *part, kind = name.split(".")
        theirs = [f"features.{places[layer]}", *(p.replace("squeeze1x1", "squeeze") for p in part)]
        turned = array.transpose(3, 2, 0, 1) if kind == "kernel" else array
        kind = "weight" if kind == "kernel" else kind
        state[".".join([*theirs, kind])] = np.ascontiguousarray(turned)
    Path("net.safetensors").write_bytes(save(state))
    words = ("convert", "net.safetensors", "squeezenet", "--caffe", "--data-dir", "here")
    status, out, said = metadescent(*words)
    assert status == 0, said
    place = network_path("squeezenet", "here")
    assert out == f"{len(arrays)} arrays of squeezenet: {place}\n"
    found = load_network("squeezenet", squeezenet.SHAPES, "here")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert metadescent(*words) == (
        2,
        "",
        f"metadescent: {place} is there already; delete it or choose another place with --out\n",
    )
