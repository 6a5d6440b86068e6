"""The nearest matrix with orthogonal rows, block by block, as in `optimizers/whitening.py`.

Blocks of the same height share each product of small matrices, whatever matrices they belong to.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from metadescent.optimizers.blend_constants import COEFFICIENTS, ITERATIONS, ROWS, TINY


def whiten_all(
    matrices: Sequence[Float[Tensor, "_ _ _"]], rows: int = ROWS
) -> list[Float[Tensor, "_ _ _"]]:
    """Return matrices whose blocks have singular values of about 1; each stack has one shape.

    Arguments:
        matrices: stacks of matrices of one shape along the first axis; none is without coordinates.
        rows: the most rows of a block.

    Example:
        >>> x = whiten_all([torch.eye(2, 3)[None], torch.eye(5, 4)[None]])
        >>> [bool((torch.linalg.svdvals(each) - 1).abs().max() < 0.35) for each in x]
        [True, True]
    """
    blocks = [_blocks(x, rows) for x in matrices]
    numbers: dict[int, list[int]] = defaultdict(list)
    for number, x in enumerate(blocks):
        numbers[x.shape[1]].append(number)
    white = list(matrices)
    for together in numbers.values():
        gram = torch.cat([torch.bmm(blocks[k], blocks[k].mT) for k in together])
        trace = gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        # Below TINY, products are denormal and too coarse, so that the polynomial could diverge.
        whole = torch.where(trace > TINY, trace, 1.0)
        roots = _root(gram.div_(whole)).div_(whole.sqrt())
        for k, root in zip(together, roots.split([len(blocks[k]) for k in together]), strict=True):
            white[k] = _applied(root, blocks[k], matrices[k])
    return white


def _blocks(x: Float[Tensor, "_ _ _"], rows: int) -> Float[Tensor, "blocks height _"]:
    """Return rows of a wide matrix, or columns of a tall one, in blocks of nearly equal size."""
    count, n, m = x.shape
    side = min(n, m)
    each = math.ceil(side / rows)
    height = math.ceil(side / each)
    missing = each * height - side
    # The last block is padded with rows of 0, which stay 0.
    if n <= m:
        x = pad(x, (0, 0, 0, missing)) if missing else x
        return x.reshape(count * each, height, m)
    x = pad(x, (0, missing)) if missing else x
    # For a single matrix these are views.
    return x.view(count, n, each, height).permute(0, 2, 3, 1).reshape(count * each, height, n)


def _applied(
    root: Float[Tensor, "blocks height height"],
    blocks: Float[Tensor, "blocks height _"],
    x: Float[Tensor, "_ _ _"],
) -> Float[Tensor, "_ _ _"]:
    """Return the blocks, each multiplied by its root, put together to a matrix as x is."""
    count, n, m = x.shape
    if n <= m:
        return torch.bmm(root, blocks).view(count, -1, m)[:, :n]
    # The blocks of a tall matrix are transposed while they are written.
    turned = torch.bmm(blocks.mT, root.mT).view(count, -1, n, root.shape[-1])
    return turned.transpose(1, 2).reshape(count, n, -1)[..., :m]


def _root(gram: Float[Tensor, "blocks height height"]) -> Float[Tensor, "blocks height height"]:
    """Return a polynomial Q of A such that Q A Qᵀ is about 1."""
    a, b, c = COEFFICIENTS
    root = gram
    for k in range(ITERATIONS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        root = torch.bmm(factor, root) if k else factor
        if k + 1 < ITERATIONS:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    return root
