"""A blend of directions, in PyTorch; `optimizers/blend.py` has its equations and their source.

Axes are PyTorch's: a weight of three or more is a matrix of its first axis, which counts outputs,
by all others, where the kernel of a convolution in JAX has outputs last.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.optimizers.blend_constants import (
    BY_ASPECT,
    BY_DEPTH,
    CEILING,
    DIRECTIONS,
    FAINT,
    FARTHEST,
    FAST,
    FEATURES,
    KAPPA,
    SLOW,
    SQUARE,
    STEPS,
    TAU,
    TINY,
    WARM_UP,
)
from metadescent.torch import native_blend, shard
from metadescent.torch.row import Row
from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors
from metadescent.torch.stack import (
    Stack,
    aspect_of,
    depth_of,
    larger_side,
    sides,
    stacks_of,
    sums_over_parts,
)
from metadescent.torch.whitening import whiten_all

Column = Float[Tensor, " tensors"]


class BlendRule(Rule):
    """Directions that are known, weighed and scaled by a network that looks at each tensor."""

    coordinatewise = False
    blockwise = False

    # Where φ began is no matter.
    def __init__(
        self, horizon: float = 0.0, rate: float = 0.035, floor: float = 0.2, hidden: int = 8
    ):
        self.horizon, self.units = horizon, hidden

    def phi_shapes(self) -> Shapes:
        outputs = DIRECTIONS + 2
        return {
            "p": (2,),
            "W_1": (self.units, FEATURES),
            "b_1": (self.units,),
            "W_2": (outputs, self.units),
            "b_2": (outputs,),
        }

    def state_shapes(self) -> Shapes:
        return {"fast": (), "slow": (), "square": ()}

    def tensor_shapes(self) -> Shapes:
        return {"figures": (7,), "t": ()}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        sizes = [shard.local(p).numel() for p in params]
        leaves = {name: list(state[name].split(sizes)) for name in self.state_shapes()}
        of_tensors = {name: list(state[name].split(1, -1)) for name in self.tensor_shapes()}
        row = Row(leaves, [], gradient.device, of_tensors=of_tensors)
        return self.update_row(phi, gradient, row, params), state

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        if row.places is not None:
            gradients = gradient.split([*row.places.sizes])
            if (fused := self.update_apart(phi, gradients, row, params)) is not None:
                return fused
        t = torch.cat(row.of_tensors["t"], -1)
        weights = _weights(t)
        stacks = stacks_of(gradient, row.leaves, params)
        before = torch.cat(row.of_tensors["figures"], -1)
        # Directions are brought to length 1, so their factors are left out, or taken together.
        part, tiny = FAST / (1 - FAST) / weights[0], TINY * weights[2]
        g, sums = torch.empty_like(gradient), [gradient.new_zeros((0, 9))]
        for stack in stacks:
            numbers = stack.numbers
            sums.append(_renewed(stack, stack.of(g), part[numbers], tiny[numbers]))
            stack.put_back(row.leaves)
        whites = _whitened(g, stacks)
        white_sums = t.new_zeros((len(t), 1))
        for k, white in whites.items():
            white_sums[stacks[k].numbers, 0] = stacks[k].dot(white, white)
            # What had no gradient yet stays, though whitening would mix it with others.
            white.masked_fill_(stacks[k].of(g) == 0, 0.0)
        counts = t.new_tensor([max(1, p.numel()) for p in params])
        means = (
            sums_over_parts(torch.cat([torch.cat(sums), white_sums], 1), params) / counts[:, None]
        )
        x, size, figures = self._features(phi, means[:, :7], before, t, weights, params)
        strength = _strength(means[:, 3], figures[2], weights[0])
        w, y, z = self._network(phi, x)
        figures[4] = (before[4] + self._kappa() * torch.tanh(z)).clamp(-FARTHEST, FARTHEST)
        aspects = t.new_tensor([aspect_of(p.shape) for p in params])
        lengths = figures[4] + y - BY_DEPTH * math.log(depth_of(params)) + BY_ASPECT * aspects / 2
        scale = torch.exp(phi["p"][0] + lengths) * self._factor(t) * size * strength
        factors = _factors(w, means[:, 7:], params)
        for k, stack in enumerate(stacks):
            numbers, u, (_, slow, square) = stack.numbers, stack.of(g), stack.h
            of_white, of_adam, of_late = factors[:, numbers]
            u.mul_(of_adam).addcmul_(slow, of_late).div_(_root(square, tiny[numbers]))
            if k in whites:
                u.addcmul_(whites[k], of_white)
            mean = stack.whole(stack.dot(u, u)) / counts[numbers]
            u.mul_((-scale[numbers] * _inverse(mean))[:, None])
        torch._foreach_copy_(row.of_tensors["figures"], list(figures.split(1, -1)))  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(row.of_tensors["t"], 1.0)  # pyright: ignore[reportPrivateImportUsage]
        return g

    def update_apart(
        self, phi: Tensors, gradients: Sequence[Tensor], row: Row, params: Params
    ) -> Float[Tensor, " n"] | None:
        if not native_blend.can_step(row, params, gradients):
            return None
        t = torch.cat(row.of_tensors["t"], -1)
        moments = (*_weights(t), self._clock(t), self._factor(t))
        return native_blend.fused_step(phi, gradients, row, params, moments, self._kappa())

    def _features(
        self,
        phi: Tensors,
        means: Float[Tensor, "tensors 7"],
        before: Float[Tensor, "7 tensors"],
        t: Column,
        weights: Sequence[Column],
        params: Params,
    ) -> tuple[Float[Tensor, "tensors features"], Column, Float[Tensor, "7 tensors"]]:
        """Return x of each tensor, its size and its next figures, among them ℓ as it was."""
        q_now, along, fast_before, fast, slow, flat, square = means.T
        widths = t.new_tensor([larger_side(p.shape) for p in params])
        size = torch.sqrt(square + torch.exp(2 * phi["p"][1]) / widths)
        size = size * torch.rsqrt(1 + (size / CEILING) ** 2)
        at_first = torch.where(t == 0, size, before[5])
        # One root after the other: the product of the squares may be too small for the dtype.
        agrees = along * torch.rsqrt(q_now + TINY) * torch.rsqrt(fast_before + TINY)
        now = torch.stack([agrees, agrees, q_now, q_now, flat * torch.rsqrt(q_now + TINY)])
        decays = t.new_tensor([FAST, SLOW, FAST, SLOW, SLOW])[:, None]
        means_after = decays * before[[0, 1, 2, 3, 6]] + (1 - decays) * now
        agreed_fast, agreed_slow, q_fast, q_slow, flats = means_after
        q = q_slow / weights[1] + TINY
        rows = [
            agreed_fast,
            agreed_slow / weights[1],
            0.5 * torch.log10(fast / weights[0] ** 2 / q + 1e-6),
            0.5 * torch.log10(slow / weights[1] ** 2 / q + 1e-6),
            0.5 * torch.log10((q_fast / weights[0] + TINY) / q),
            torch.log10(size / at_first),
            torch.log10(size),
            t.new_tensor([float(p.ndim > 1) for p in params]),
            torch.log10(widths) - 1,
            self._clock(t),
            before[4],
            # 1 where all coordinates have gradients alike, towards 0 where few have any.
            flats / weights[1] - 0.7,
            torch.full_like(t, math.log10(depth_of(params))),
            t.new_tensor([aspect_of(p.shape) for p in params]) / 4,
        ]
        figures = [agreed_fast, agreed_slow, q_fast, q_slow, before[4], at_first, flats]
        return torch.stack(rows, 1), size, torch.stack(figures)

    def _network(
        self, phi: Tensors, x: Float[Tensor, "tensors features"]
    ) -> tuple[Float[Tensor, "tensors directions"], Column, Column]:
        """Return w, y and z of each tensor."""
        hidden = torch.tanh(x @ phi["W_1"].T + phi["b_1"])
        outputs = hidden @ phi["W_2"].T + phi["b_2"]
        return outputs[:, :DIRECTIONS], outputs[:, DIRECTIONS], outputs[:, DIRECTIONS + 1]

    def _kappa(self) -> float:
        """Return κ."""
        return KAPPA / math.sqrt(self._longer())

    def _longer(self) -> float:
        """Return T/500, at least 1."""
        return max(1.0, self.horizon / STEPS)

    def _clock(self, t: Column) -> Column:
        """Return what time it is, on a scale of logarithms, where T counts as 500 steps."""
        parts = STEPS * t / self.horizon if self.horizon else t
        return torch.log10(1 + parts.clamp(max=float(STEPS))) / 4

    def _factor(self, t: Column) -> Column:
        """Return c."""
        late = torch.rsqrt(1 + t / TAU)
        if not self.horizon:
            return late * ((t + 1) / 10).clamp(max=1.0)
        longer, share = self._longer(), (t + 1) / (self.horizon + 1)
        first = WARM_UP / math.sqrt(longer)
        down = ((share - first) / (1 - first)).clamp(0.0, 1.0)
        cosine = torch.where(share < first, share / first, 0.5 * (1 + torch.cos(math.pi * down)))
        return cosine * late * torch.sqrt(1 + t / longer / TAU)


def _weights(t: Column) -> list[Column]:
    """Return 1 − β^t of the running means after a step."""
    return [1 - beta ** (t + 1) for beta in (FAST, SLOW, SQUARE)]


def _strength(fast: Column, square: Column, weight: Column) -> Column:
    """Return s, of mean m_.9² and the mean of ∇², both with their bias."""
    share = fast / weight**2 / (square / weight + TINY)
    return (torch.sqrt(share + TINY) / FAINT).clamp(max=1.0)


def _renewed(
    stack: Stack, ahead: Float[Tensor, "count n"], part: Tensor, tiny: Tensor
) -> Float[Tensor, "count 9"]:
    """Renew the moments of tensors and fill in a, but for a factor; return sums.

    They are those of which figures are made, and of the squares of D_2 and D_3, before these are
    brought to length 1. All of it is done while a tensor is in the cache.
    """
    gradient, (fast, slow, square) = stack.gradient, stack.h
    theta = stack.theta()
    sums = [stack.dot(gradient, gradient), stack.dot(gradient, fast), stack.dot(fast, fast)]
    fast.lerp_(gradient, 1 - FAST)
    slow.lerp_(gradient, 1 - SLOW)
    square.mul_(SQUARE).addcmul_(gradient, gradient, value=1 - SQUARE)
    sums += [stack.dot(fast, fast), stack.dot(slow, slow), gradient.abs().sum(1)]
    torch.addcmul(gradient, fast, part[:, None], out=ahead)
    root = _root(square, tiny)
    direction = ahead / root
    sums += [stack.dot(theta, theta), stack.dot(direction, direction)]
    torch.div(slow, root, out=direction)
    return torch.stack([*sums, stack.dot(direction, direction)], 1)


def _root(square: Float[Tensor, "count n"], tiny: Tensor) -> Float[Tensor, "count n"]:
    """Return √v, but for a factor."""
    return (square + tiny[:, None]).sqrt_()


def _whitened(ahead: Float[Tensor, " n"], stacks: Sequence[Stack]) -> dict[int, Tensor]:
    """Return the whitened direction of each stack of matrices, by its number."""
    whites: dict[int, Tensor] = {}
    for number, stack in enumerate(stacks):
        p = stack.params[0]
        if p.ndim < 2 or p.numel() == 0:
            continue
        x = stack.of(ahead)
        if not shard.is_shared(p):
            whites[number] = x.view(-1, *sides(p.shape))
            continue
        # Each process whitens all of it: a block may lie in several.
        whole = shard.whole_of(x.view(shard.local(p).shape), p).reshape(1, *sides(p.shape))
        whole = whiten_all([whole])[0].reshape(p.shape)
        whites[number] = shard.part_of(whole, p)
    alone = [number for number in whites if not shard.is_shared(stacks[number].params[0])]
    whites |= zip(alone, whiten_all([whites[number] for number in alone]), strict=True)
    return {number: x.reshape(stacks[number].gradient.shape) for number, x in whites.items()}


def _factors(
    w: Float[Tensor, "tensors directions"],
    squares: Float[Tensor, "tensors directions"],
    params: Params,
) -> Float[Tensor, "directions tensors 1"]:
    """Return by what to multiply directions as they are, of which these are the mean squares."""
    first, second, third = w.T
    adam, late, white = (_inverse(square) for square in squares.T)
    is_matrix = w.new_tensor([float(p.ndim > 1) for p in params])
    # A tensor of one axis has D_2 in the place of D_1.
    second = second + first * (1 - is_matrix)
    return torch.stack([first * white, second * adam, third * late])[..., None]


def _inverse(squares: Column) -> Column:
    """Return 1 over the root of a mean square, and 1 where that is 0."""
    return torch.rsqrt(torch.where(squares > 0, squares, 1.0))


NAMED = {"blend": BlendRule}
