"""Appendix A in PyTorch; `metadescent/optimizers/preprocess.py` has the equation."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def log_and_sign(gradient: Float[Tensor, " n"], p: float = 10.0) -> Float[Tensor, "2 n"]:
    """Split a gradient into its magnitude, on a logarithmic scale, and its sign.

    Example:
        >>> import torch
        >>> log_and_sign(torch.tensor([-1.0, 0.0])).tolist()
        [[0.0, -1.0], [-1.0, 0.0]]
    """
    threshold = math.exp(-p)
    logarithm = gradient.abs().clamp_min(threshold).log() / p
    return torch.stack([logarithm, (gradient / threshold).clamp(-1.0, 1.0)])
