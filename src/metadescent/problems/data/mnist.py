"""MNIST: 70,000 handwritten digits of 28 × 28 grey pixels.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
recognition", 1998. The checksums are those of the original files.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError
from metadescent._text import short
from metadescent.problems.data import store
from metadescent.problems.data.idx import read_idx

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


# SHA-256 of each published file, which is packed, and of its unpacked bytes.
_SHA256 = {
    "train-images-idx3-ubyte": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def _remote(stem: str) -> store.Remote:
    name = f"{stem}.gz"
    return store.Remote(
        f"mnist/{name}", tuple(mirror + name for mirror in _MIRRORS), *_SHA256[stem]
    )


_SPLITS = {
    "train": (_remote("train-images-idx3-ubyte"), _remote("train-labels-idx1-ubyte")),
    "test": (_remote("t10k-images-idx3-ubyte"), _remote("t10k-labels-idx1-ubyte")),
}


def load_mnist(
    data_dir: Path | str | None = None, split: str = "train"
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images, uint8 0 to 255 of shape (n, 784), and labels, int32 0 to 9 of shape (n,).

    `split` is "train" (60,000 images) or "test" (10,000). Pixels run row by row, 0 for the paper
    and 255 for the ink. The files are looked for in `store.data_dir(data_dir)`, and downloaded if
    they are missing. Other files in the same format and under the same names can be used instead,
    with any number of images, if they are uncompressed: for example Fashion-MNIST's, unpacked. A
    compressed file must be MNIST's, as published or compressed again.

    Raises:
        UserError: if a file can be neither found nor downloaded, is not what it should be, or if
            the images and the labels do not fit each other.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sizes = [0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28]
        ...     images = bytes([0, 0, 8, 3, *sizes]) + bytes(784)
        ...     labels = bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])
        ...     _ = Path(folder, "t10k-images-idx3-ubyte").write_bytes(images)
        ...     _ = Path(folder, "t10k-labels-idx1-ubyte").write_bytes(labels)
        ...     images, labels = load_mnist(folder, split="test")
        >>> images.shape, labels
        ((1, 784), array([7], dtype=int32))
    """
    if not isinstance(split, str) or split not in _SPLITS:
        raise UserError(f"MNIST has the splits 'train' and 'test', but not {short(split)}.")
    directory = store.data_dir(data_dir)
    images_path, labels_path = (store.fetch(remote, directory) for remote in _SPLITS[split])
    images, labels = _read(images_path, 28, 28), _read(labels_path)
    if len(labels) != len(images):
        raise UserError(
            f"{images_path} holds {len(images)} images but {labels_path} holds {len(labels)} "
            "labels: take both files from the same place."
        )
    outside = labels[labels > 9]
    if outside.size:
        raise UserError(f"{labels_path} holds the label {outside[0]}, and labels run from 0 to 9.")
    return images.reshape(-1, 784), labels.astype(np.int32)


def _read(path: Path, *item: int) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.shape[1:] != item or array.dtype != np.uint8:
        # ('n', 28, 28) is written (n, 28, 28).
        expected = str(("n", *item)).replace("'", "")
        raise UserError(
            f"{path} holds {array.dtype} of shape {array.shape} "
            f"where uint8 of shape {expected} is expected."
        )
    return array
