"""The optimizer that does not need to know the horizon, in PyTorch.

`optimizers/anytime.py` has its equations and their source. The moments for the k-th β are `m0`,
`s0`, `w0`, `m1`, …; `t` is each coordinate's number of steps.
"""

import math
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors, put_under, under
from metadescent.torch.rules.lstm import LSTMRule
from metadescent.torch.rules.rnnprop import grow_, squares


class AnytimeRule(Rule):
    """The paper's LSTM on signs of progress, with steps that shorten."""

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        betas: Sequence[float] = (0.9, 0.99, 0.999),
        tau: float = 100.0,
        clock: float = 200.0,
        scale: float = 0.1,
    ):
        self.betas, self.tau, self.clock = tuple(betas), tau, clock
        self.lstm = LSTMRule.on_features(len(self.betas) + 3, layers, scale)

    def phi_shapes(self) -> Shapes:
        return put_under("lstm", self.lstm.phi_shapes())

    def state_shapes(self) -> Shapes:
        """Return the shapes of m, √v and their weight for each β, of t, and the LSTM's h and c."""
        return self.moments() | self.lstm.state_shapes()

    def moments(self) -> Shapes:
        """Return the shapes of the leaves that are not the LSTM's."""
        moments: Shapes = {f"{k}{n}": () for n in range(len(self.betas)) for k in "msw"}
        return moments | {"t": ()}

    def hidden(self) -> Collection[str]:
        return self.lstm.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        # This comes before `features`, which counts the present step.
        factor = (state["t"] / self.tau).add_(1).rsqrt_()
        x, moments = self.features(gradient, state)
        g, h = self.lstm.run(under("lstm", phi), x, state)
        return g * factor, moments | h

    def features(
        self, gradient: Float[Tensor, " n"], state: State
    ) -> tuple[Float[Tensor, "features n"], State]:
        """Return x and the moments, which are renewed in place."""
        count = len(self.betas)
        # Each operation passes through memory once, and x is written into its final place: on a row
        # larger than any cache, only the number of passes matters.
        x = gradient.new_empty((count + 3, *gradient.shape))
        now, adam, clock = x[count:]
        torch.clamp(state["t"], max=self.clock, out=clock).add_(1).log_()
        clock.mul_(0.25 / math.log(10))
        state["t"].add_(1)
        square, unit = squares(gradient), gradient.new_ones(())
        for n, beta in enumerate(self.betas):
            m, s, w = (state[f"{k}{n}"] for k in "msw")
            m.lerp_(gradient, 1 - beta)
            grow_(s, square, beta)
            w.lerp_(unit, 1 - beta)  # 1 − βᵗ
            root = w.sqrt()
            if n == 0:
                torch.mul(gradient, root, out=now).div_(s)
                torch.div(m, w, out=adam)
            # With one β it is both the first and the last, so this is not an `elif`.
            if n == count - 1:
                adam.mul_(root).div_(s)
            torch.div(m, root.mul_(s), out=x[n])
        return x, {name: state[name] for name in self.moments()}


NAMED = {"anytime": AnytimeRule}
