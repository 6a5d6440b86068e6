"""The optimizer for horizons that it is not told, in PyTorch.

`optimizers/anytime.py` has its equations and their source. The moments of the β of number k are
`m0`, `s0`, `w0`, `m1`, …; `t` is each coordinate's number of steps.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors, under
from metadescent.torch.rules.lstm import LSTM
from metadescent.torch.rules.rnnprop import grow_, squares


class Anytime(Rule):
    """The LSTM of the paper behind signs of progress, with steps that shorten.

    Arguments:
        layers, betas, tau, clock, scale: as for `metadescent.optimizers.Anytime`.

    Example:
        >>> sorted(Anytime(layers=(4,), betas=(0.9,)).state_shapes())
        ['c0', 'h0', 'm0', 's0', 't', 'w0']
    """

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        betas: Sequence[float] = (0.9, 0.99, 0.999),
        tau: float = 100.0,
        clock: float = 200.0,
        scale: float = 0.1,
    ):
        """Keep the options."""
        self.betas, self.tau, self.clock = tuple(betas), tau, clock
        self.lstm = LSTM.on_features(len(self.betas) + 3, layers, scale)

    def phi_shapes(self) -> Shapes:
        """Return the LSTM's."""
        return {f"lstm/{name}": shape for name, shape in self.lstm.phi_shapes().items()}

    def state_shapes(self) -> Shapes:
        """Return those of m, √v and their weight of each β, of t, and the LSTM's h and c."""
        return self.moments() | self.lstm.state_shapes()

    def moments(self) -> Shapes:
        """Return the shapes of what is not the LSTM's."""
        moments: Shapes = {f"{k}{n}": () for n in range(len(self.betas)) for k in "msw"}
        return moments | {"t": ()}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Run n coordinates' signs of progress through the LSTM."""
        factor = (state["t"] / self.tau).add_(1).rsqrt_()
        x, moments = self.features(gradient, state)
        g, h = self.lstm.run(under("lstm", phi), x, state)
        return g * factor, moments | h

    def features(
        self, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, "features n"], Tensors]:
        """Return x and the moments, which are renewed where they lie.

        Each operation goes over memory once, and x is written where it stays: on a row that no
        cache holds, what counts is how many passes there are.
        """
        count = len(self.betas)
        x = gradient.new_empty((count + 3, *gradient.shape))
        now, adam, clock = x[count:]
        torch.clamp(state["t"], max=self.clock, out=clock).add_(1).log_()
        clock.mul_(0.25 / math.log(10))
        state["t"].add_(1)
        square, one = squares(gradient), gradient.new_ones(())
        for n, beta in enumerate(self.betas):
            m, s, w = (state[f"{k}{n}"] for k in "msw")
            m.lerp_(gradient, 1 - beta)
            grow_(s, square, beta)
            w.lerp_(one, 1 - beta)  # 1 − βᵗ
            root = w.sqrt()
            if n == 0:
                torch.mul(gradient, root, out=now).div_(s)
                torch.div(m, w, out=adam)
            if n == count - 1:
                adam.mul_(root).div_(s)
            torch.div(m, root.mul_(s), out=x[n])
        return x, {name: state[name] for name in self.moments()}


NAMED = {"anytime": Anytime}
