"""One applied update of the learned optimizer, beside `optax.adam`'s, on the same θ.

The update alone: (g, h) = update(∇, h, θ), compiled, its old state donated to the new one, at least
ten times in a row, as a training run calls it. Its two limits on a machine are

    bytes       state read and written, ∇ read and g written, in float32, over copy bandwidth
    arithmetic  multiplications and additions over the rate of a large matrix product, a
                transcendental function counting for as many as a good one of float32 takes

and the larger one binds.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from cases import Case
from meta_step import start_plainly

TRANSCENDENTAL = 21
"""Operations of tanh as in `problems/native/vector.h`: 8 multiply-adds, 4 more, a division."""


class Update:
    """Updates one after the other on the θ of a case, as many as can be timed."""

    def __init__(self, case: Case, kind: str):
        self.m, self.kind = case.m, kind
        self.theta = start_plainly(case).theta
        leaves = jax.tree.leaves(self.theta)
        self.coordinates = sum(leaf.size for leaf in leaves)
        self.calls = max(10, min(50, 1_000_000 // self.coordinates))
        optimizer = case.m.as_optax() if kind == "learned" else optax.adam(1e-3)
        keys = jax.random.split(jax.random.key(2), len(leaves))
        gradients = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
        self.gradient = jax.tree.unflatten(jax.tree.structure(self.theta), gradients)
        # A copy: what is donated must not be shared with θ or within the state.
        self.state = jax.tree.map(jnp.copy, optimizer.init(self.theta))
        self.update = jax.jit(optimizer.update, donate_argnums=1)

    def __call__(self) -> Any:
        """Return g after `calls` updates."""
        for _ in range(self.calls):
            g, self.state = self.update(self.gradient, self.state, self.theta)
        return g

    def costs(self) -> dict[str, Any]:
        """Return the bytes that one update has to move, and its multiplications and additions."""
        if self.kind == "adam":
            floats, operations, functions = 2, 12, 0
        else:
            units = sum(self.m.layers)
            floats, operations, functions = 2 * units, _operations(self.m), 5 * units
        each = {
            "bytes": 4 * (2 * floats + 2),
            "flops": operations,
            "transcendental": TRANSCENDENTAL * functions,
        }
        return {name: cost * self.coordinates for name, cost in each.items()}


def limits(case: dict[str, Any]) -> dict[str, Any]:
    """Return the two limits of the learned update of a measured case, and the share reached."""
    rates = {name: rate["median"] for name, rate in case["machine"].items()}
    update, adam = case["updates"]["learned"], case["updates"]["adam"]
    transcendental = update["transcendental"] / rates["flops"]
    products = update["flops"] / rates["flops"]
    bounds = {"bytes": update["bytes"] / rates["bytes"], "arithmetic": products + transcendental}
    binding = max(bounds, key=lambda name: bounds[name])
    return {
        "bytes": bounds["bytes"],
        "products": products,
        "transcendental": transcendental,
        "arithmetic": bounds["arithmetic"],
        "binding": binding,
        "share": bounds[binding] / update["median"],
        "adam_share": adam["bytes"] / rates["bytes"] / adam["median"],
    }


def _operations(m: Any) -> int:
    """Return the multiplications and additions of the rule's products, a coordinate."""
    features, total = 1 if m.p is None else 2, 0
    for units in m.layers:
        total += 2 * 4 * units * (features + units)
        features = units
    return total + 2 * features
