"""The states of parameters, as they print."""

from collections import defaultdict
from typing import Any

from torch import Tensor


class States(defaultdict[Tensor, Any]):
    """h of every parameter, which prints shapes and dtypes in place of numbers."""

    def __repr__(self) -> str:
        leaves = (
            f"{brief(p)}: {{{', '.join(f'{name}: {brief(x)}' for name, x in h.items())}}}"
            for p, h in self.items()
        )
        return f"{{{', '.join(leaves)}}}"


def brief(x: Any) -> str:
    """Return a tensor's dtype and shape as in float32[20, 3], and anything else as it prints."""
    if not isinstance(x, Tensor):
        return repr(x)
    return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
