"""Rules one behind the other in PyTorch; `optimizers/chained.py` has the equation."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors, under


class Chained(Rule):
    """Rules of which each is fed what the one before it returns.

    Example:
        >>> from metadescent.torch.rules.pace import Pace
        >>> Chained([Pace(corners=2), Pace(corners=3)]).phi_shapes()
        {'rules/0/p': (2,), 'rules/1/p': (3,)}
    """

    def __init__(self, rules: Sequence[Rule]):
        """Keep the rules in order."""
        self.rules = dict(
            zip((f"rules/{number}" for number in range(len(rules))), rules, strict=True)
        )
        self.coordinatewise = all(rule.coordinatewise for rule in rules)
        self.communicates = any(rule.communicates for rule in rules)

    def phi_shapes(self) -> Shapes:
        """Return those of all rules."""
        return {
            f"{at}/{name}": shape
            for at, rule in self.rules.items()
            for name, shape in rule.phi_shapes().items()
        }

    def state_shapes(self) -> Shapes:
        """Return those of all rules."""
        return {
            f"{at}/{name}": shape
            for at, rule in self.rules.items()
            for name, shape in rule.state_shapes().items()
        }

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Send n coordinates through all rules."""
        return self.update_of((), phi, gradient, state)

    def update_of(
        self,
        params: Sequence[Tensor],
        phi: Tensors,
        gradient: Float[Tensor, " n"],
        state: Tensors,
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Send the row of these parameters through all rules."""
        g, after = gradient, {}
        for at, rule in self.rules.items():
            g, h = rule.update_of(params, under(at, phi), g, under(at, state))
            after |= {f"{at}/{name}": x for name, x in h.items()}
        return g, after
