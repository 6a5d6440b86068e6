"""Learned optimizers in PyTorch, from the same files, without JAX."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "metadescent.torch needs PyTorch; try pip install 'metadescent[torch]'", name=error.name
    ) from error

from metadescent.torch.optimizer import LearnedOptimizer

__all__ = ["LearnedOptimizer"]
