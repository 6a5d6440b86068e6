"""Data sets as plain NumPy arrays: readers and downloads, without JAX.

`load_mnist`, `load_cifar10` and `load_digits` return images as bytes with integer labels, and
`load_content` returns pictures as bytes. The optimizee turns bytes into floats, so that a data set
stays a quarter of the size.

To add a data set, write one file: name its files as `Remote`s, with their checksums, and read what
`fetch` returns. Nothing is read, downloaded or looked up when this package is imported.

Example:
    >>> from metadescent.problems.data import data_dir
    >>> data_dir("elsewhere").name
    'elsewhere'
"""

from metadescent.problems.data.cifar10 import load_cifar10
from metadescent.problems.data.content import load_content
from metadescent.problems.data.digits import load_digits
from metadescent.problems.data.idx import read_idx
from metadescent.problems.data.mnist import load_mnist
from metadescent.problems.data.store import Remote, data_dir, fetch

__all__ = [
    "Remote",
    "data_dir",
    "fetch",
    "load_cifar10",
    "load_content",
    "load_digits",
    "load_mnist",
    "read_idx",
]
