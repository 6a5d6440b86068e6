"""`convert`, of a network drawn at random."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pooch
import pytest
from safetensors.numpy import save

from metadescent.problems.data import networks
from metadescent.problems.data.networks import load_network, network_path
from metadescent.problems.data.store import Remote
from metadescent.problems.neural_art import squeezenet


def turned_around(data: Path) -> tuple[dict[str, np.ndarray], bytes]:
    """This package's own arrays, and the same in torchvision's layout."""
    arrays = load_network("squeezenet", squeezenet.SHAPES, data)
    places = dict(zip(squeezenet.LAYERS, (0, 3, 4, 6, 7, 9, 10, 11, 12), strict=True))
    state = {}
    for name, array in arrays.items():
        layer, *part, kind = name.split(".")
        theirs = [f"features.{places[layer]}", *(p.replace("squeeze1x1", "squeeze") for p in part)]
        turned = array.transpose(3, 2, 0, 1) if kind == "kernel" else array
        kind = "weight" if kind == "kernel" else kind
        state[".".join([*theirs, kind])] = np.ascontiguousarray(turned)
    return arrays, save(state)


def test_convert_makes_what_stylize_reads(metadescent: Callable, data: Path) -> None:
    """From torchvision's layout, of this package's own arrays turned around."""
    arrays, checkpoint = turned_around(data)
    Path("net.safetensors").write_bytes(checkpoint)
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


def test_a_checkpoint_of_the_published_name_is_downloaded(
    metadescent: Callable, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, checkpoint = turned_around(data)
    remote = Remote("nets/net-1234.safetensors", ("https://example.org/net",), "0" * 64)
    monkeypatch.setitem(networks.PUBLISHED, "squeezenet", remote)

    def retrieve(url: str, known_hash: str, fname: str, path: Path, **_: object) -> None:
        assert (url, known_hash) == (remote.urls[0], f"sha256:{remote.sha256}")
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(checkpoint)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    place = ("squeezenet", "--caffe", "--data-dir", "here")
    status, _, said = metadescent("convert", "net-1234.safetensors", *place)
    assert status == 0, said
    load_network("squeezenet", squeezenet.SHAPES, "here")
    # One in another folder, or of another name, is one's own.
    for name in ("elsewhere/net-1234.safetensors", "net-1235.safetensors"):
        status, _, said = metadescent("convert", name, *place, "--out", "new.safetensors")
        assert status == 2
        assert f"cannot read {name}: No such file or directory" in said
