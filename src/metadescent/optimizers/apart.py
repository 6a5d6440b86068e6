"""A rule applied to several problems at once, to each of them alone.

θ = (θ¹, …, θᴷ):     (gᵏ, hᵏ) = m(∇ᵏ, hᵏ, φ)

A rule that is not coordinatewise looks at all of θ: at how many matrices there are, or at means of
all coordinates. If θ is that of several problems side by side, it is not one network, and the rule
should see each problem's θ alone.
"""

from typing import Any, ClassVar

from jaxtyping import PyTree

from metadescent.optimizers.base import Coordinatewise, LearnedOptimizer, State, Updates
from metadescent.optimizers.partitioned import Partitioned


class Apart(LearnedOptimizer):
    """Any Optax-like rule, applied to each of several θ with a state of its own."""

    rule: Any
    takes_complex: ClassVar[bool] = True  # the rule decides

    def init(self, params: PyTree) -> State:
        return [self.rule.init(theta) for theta in params]

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        thetas = [None] * len(state) if params is None else params
        moves = [
            self.rule.update(gradient, h, theta, **extra_args)
            for gradient, h, theta in zip(updates, state, thetas, strict=True)
        ]
        return tuple(g for g, _ in moves), [h for _, h in moves]


def looks_at_whole(m: Any) -> bool:
    """Tell whether m's update of a tensor may depend on which other tensors there are."""
    return not isinstance(m, Coordinatewise | Partitioned)
