"""The optimizer for horizons that it is not told, in PyTorch.

`optimizers/anytime.py` has its equations and their source. The moments of the β of number k are
`m0`, `s0`, `w0`, `m1`, …; `t` is each coordinate's number of steps.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors, under
from metadescent.torch.rules.lstm import LSTM
from metadescent.torch.rules.rnnprop import grow, squares


class Anytime(Rule):
    """The LSTM of the paper behind signs of progress, with steps that shorten.

    Arguments:
        layers, betas, tau, clock, scale: as for `metadescent.Anytime`.

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
        moments: Shapes = {f"{k}{n}": () for n in range(len(self.betas)) for k in "msw"}
        return moments | {"t": ()} | self.lstm.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Run n coordinates' signs of progress through the LSTM."""
        factor = torch.rsqrt(1 + state["t"] / self.tau)
        x, moments = self.features(gradient, state)
        g, h = self.lstm.run(under("lstm", phi), x, state)
        return factor * g, moments | h

    def features(
        self, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, "features n"], Tensors]:
        """Return x and the next moments."""
        t = state["t"]
        after, means, roots = {"t": t + 1}, [], []
        square = squares(gradient)
        for n, beta in enumerate(self.betas):
            m = torch.lerp(state[f"m{n}"], gradient, 1 - beta)
            s = grow(state[f"s{n}"], square, beta)
            w = (beta * state[f"w{n}"]).add_(1 - beta)  # 1 − βᵗ
            after |= {f"m{n}": m, f"s{n}": s, f"w{n}": w}
            means.append(m / w)
            roots.append(s / w.sqrt())
        x = [mean / root for mean, root in zip(means, roots, strict=True)]
        clock = torch.log10(1 + t.clamp(max=self.clock)) / 4
        return torch.stack([*x, gradient / roots[0], means[0] / roots[-1], clock]), after


NAMED = {"anytime": Anytime}
