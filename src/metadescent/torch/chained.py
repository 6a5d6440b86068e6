"""Rules in turn, in PyTorch; `optimizers/chained.py` has the equation."""

from collections.abc import Collection, Sequence

from jaxtyping import Float
from torch import Tensor

from metadescent.torch.row import Row
from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors, put_under, under


class ChainedRule(Rule):
    """Rules in turn: each is fed what the rule before it returns."""

    def __init__(self, rules: Sequence[Rule]):
        # Under the path that the φ of each rule has in a file.
        self.rules = {f"rules/{number}": rule for number, rule in enumerate(rules)}
        self.coordinatewise = all(rule.coordinatewise for rule in rules)
        self.communicates = any(rule.communicates for rule in rules)
        self.blockwise = any(rule.blockwise for rule in rules)

    def phi_shapes(self) -> Shapes:
        rules = self.rules.items()
        return {k: v for path, rule in rules for k, v in put_under(path, rule.phi_shapes()).items()}

    def state_shapes(self) -> Shapes:
        rules = self.rules.items()
        return {
            k: v for path, rule in rules for k, v in put_under(path, rule.state_shapes()).items()
        }

    def tensor_shapes(self) -> Shapes:
        rules = self.rules.items()
        return {
            k: v for path, rule in rules for k, v in put_under(path, rule.tensor_shapes()).items()
        }

    def for_steps(self, steps: float | int) -> "ChainedRule":
        return ChainedRule([rule.for_steps(steps) for rule in self.rules.values()])

    def hidden(self) -> Collection[str]:
        return [
            name
            for path, rule in self.rules.items()
            for name in put_under(path, dict.fromkeys(rule.hidden()))
        ]

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        g, after = gradient, {}
        for path, rule in self.rules.items():
            g, h = rule.update(under(path, phi), g, under(path, state), params)
            after |= put_under(path, h)
        return g, after

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        # Each rule runs by itself, so that only those that measure tensors need more than a block.
        for path, rule in self.rules.items():
            leaves, which = under(path, row.leaves), under(path, row.which)
            of_tensors = under(path, row.of_tensors)
            own = Row(leaves, row.blocks, row.device, row.places, which, of_tensors)
            gradient = rule.update_row(under(path, phi), gradient, own, params)
        return gradient
