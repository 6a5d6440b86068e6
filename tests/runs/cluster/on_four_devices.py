"""What four devices compute, beside what one does; run by `test_four_devices.py`, prints JSON.

A process has as many devices as it was started with, so this one is another than the tests'.
"""

import importlib.util
import json
import re
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from metadescent.descent.episode import start_batch
from metadescent.meta.devices import OnEach, Spread, mesh_of, on_each
from metadescent.meta.estimators.imitation import Imitation
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.pool import Pool
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import meta_loss
from metadescent.meta.schedule import Schedule
from metadescent.meta.train import meta_train
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(1)
M = LSTM((3,), p=None, key=jax.random.key(0))
MESH = mesh_of()
METHOD: dict[str, Any] = {
    "meta_optimizer": optax.adam(1e-2),
    "key": KEY,
    "estimator": Truncated(problems=4),
}
PARAMETERS = jax.make_mesh((4,), ("parameters",), axis_types=(AxisType.Auto,))
EXPLICIT = jax.make_mesh((4,), ("parameters",))


def apart(actual: Any, expected: Any) -> float:
    """Return the largest difference between two pytrees' leaves, in units of the leaf's largest."""
    worst = 0.0
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        worst = max(worst, float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-12)))
    return worst


def shares(tree: Any) -> list[float]:
    """Return the part of a pytree's bytes that each device holds."""
    held = dict.fromkeys(jax.devices(), 0)
    for leaf in jax.tree.leaves(tree):
        for shard in leaf.addressable_shards:
            held[shard.device] += shard.data.nbytes
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    return [size / total for size in held.values()]


def meta_gradients() -> dict[str, Any]:
    """Two segments of an episode, by every estimator, on one device and on four."""
    distances = {}
    cases = {
        "two phases": Truncated(problems=8),
        "recomputed": Truncated(problems=8, form="recompute"),
        "pes": PES(problems=8),
        "imitation": Imitation(problems=8),
        "pool": Pool(steps=12, problems=8),
    }
    for name, whole in cases.items():

        @eqx.filter_jit
        def both(estimator: Any, m: Any) -> Any:
            carry = estimator.begin(m, Quadratic(dimension=3), KEY)
            ones = jnp.ones(3)
            first, carry, _ = estimator.estimate(m, Quadratic(dimension=3), carry, KEY, ones)
            second, _, losses = estimator.estimate(m, Quadratic(dimension=3), carry, KEY, ones)
            return first, second, losses

        distances[name] = apart(both(OnEach(whole.part(4), MESH), M), both(whole, M))
    return distances


def run() -> dict[str, Any]:
    """One epoch of meta-training on one device and on four."""
    schedule = Schedule(epochs=1, episodes=2, steps=6, unroll=3, validation_problems=8, average=0.5)
    ((one, shown),) = meta_train(M, Quadratic(dimension=3), schedule, **METHOD)
    ((four, seen),) = meta_train(M, Quadratic(dimension=3), schedule, spread=Spread(MESH), **METHOD)
    return {
        "φ": apart(four.m, one.m),
        "validation": apart(seen.validation, shown.validation),
        "meta-losses": apart(seen.meta_losses, shown.meta_losses),
    }


class Faulty(Optimizee):
    """‖θ‖², or NaN."""

    factor: jax.Array

    def init(self, key: Any) -> Any:
        return jax.random.normal(key, (2,))

    def loss(self, theta: Any, key: Any) -> Any:
        del key
        return self.factor * jnp.sum(theta**2)


class SometimesFaulty(Problem):
    """Of the draws a tenth is NaN."""

    def sample(self, key: Any) -> Faulty:
        return Faulty(jnp.where(jax.random.uniform(jax.random.fold_in(key, 3)) < 0.1, jnp.nan, 1.0))


def not_finite() -> dict[str, Any]:
    """Three epochs in which some meta-steps are NaN, under each policy that goes on."""
    by_policy = {}
    for policy in ("skip", "restart-from-best"):
        schedule = Schedule(
            epochs=3,
            episodes=2,
            steps=4,
            unroll=2,
            validation_problems=4,
            average=0.5,
            on_nonfinite=policy,
        )
        one, four = (
            list(meta_train(M, SometimesFaulty(), schedule, spread=spread, **METHOD))
            for spread in (None, Spread(MESH))
        )
        by_policy[policy] = {
            "states": apart([state for state, _ in four], [state for state, _ in one]),
            "broken": [
                [int(jnp.isnan(info.meta_losses).sum()) for _, info in run] for run in (one, four)
            ],
            "best epoch": int(one[-1][0].best_epoch),
        }
    return by_policy


def sharded_parameters() -> dict[str, Any]:
    """As an Optax optimizer, on a model whose kernels are sharded."""
    params, kind = model()
    gradients = jax.tree.map(jnp.sin, params)
    tx = optax.chain(optax.clip(1.0), M.as_optax())
    whole, _ = jax.jit(tx.update)(gradients, tx.init(params), params)
    measured: dict[str, Any] = {"model": kind}
    for name, mesh in {"auto": PARAMETERS, "explicit": EXPLICIT}.items():

        def lay_out(x: Any, mesh: Any = mesh) -> Any:
            spec = P(None, "parameters") if x.ndim == 2 and x.shape[1] % 4 == 0 else P()
            return jax.device_put(x, NamedSharding(mesh, spec))

        placed, pushed = jax.tree.map(lay_out, (params, gradients))
        for how, init in {"at once": tx.init, "jit": jax.jit(tx.init)}.items():
            with jax.set_mesh(mesh):
                state = init(placed)
                updates, after = jax.jit(tx.update)(pushed, state, placed)
            measured[f"{name}, {how}"] = {
                "apart": apart(updates, whole),
                "h": max(shares(state)),
                "h after": max(shares(after)),
            }
    return measured


def model() -> tuple[Any, str]:
    """Return the parameters of a network of Flax where it is installed, else of Equinox."""
    if importlib.util.find_spec("flax"):
        import flax.linen as nn

        net = nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(64)])
        return net.init(KEY, jnp.ones((1, 64)))["params"], "flax"
    net = eqx.nn.MLP(64, 64, 64, 1, key=KEY)
    return eqx.filter(net, eqx.is_inexact_array), "equinox"


def kernels() -> dict[str, Any]:
    """One update of sharded coordinates, and by the kernel within a map over one device."""
    theta = jax.random.normal(KEY, (8, 12))
    lstm = LSTM((4, 3), key=KEY)

    def update(problem: Any, _: None, theta: Any) -> Any:
        return lstm.update(theta, lstm.init(theta))

    one = mesh_of(jax.devices()[:1])
    by_kernel = jax.jit(lambda theta: on_each(one, update, Quadratic(), None, theta, out=P()))
    sharded = jax.device_put(theta, NamedSharding(PARAMETERS, P(None, "parameters")))
    step = jax.jit(lambda *arguments: lstm.update(*arguments))
    g, h = step(sharded, lstm.init(sharded))
    text = step.lower(sharded, lstm.init(sharded)).compile().as_text()
    kernel = by_kernel.lower(theta).compile().as_text()
    return {
        "apart": apart((g, h), by_kernel(theta)),
        "kernel in the map": "metadescent_lstm" in kernel,
        "kernel on shards": "metadescent_lstm" in text,
        "exchanges": exchanges(text),
    }


def exchanges(text: str) -> list[str]:
    """Return the exchanges between devices in a compiled program."""
    names = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    return re.findall(rf"({names})(?:-start)?\(", text)


def averages() -> dict[str, Any]:
    """Global averaging cells over 8 sharded coordinates, and over 10, which 4 do not divide."""
    m, measured = LSTMGAC((3,), 2, key=KEY), {}
    for name, shapes in {
        "even": [(8,)],
        "uneven": [(10,)],
        "of two leaves": [(4, 3), (5,)],
    }.items():
        theta = [jax.random.normal(KEY, shape) for shape in shapes]
        specs = [P("parameters") if shape[0] % 4 == 0 else P() for shape in shapes]
        placed = [
            jax.device_put(x, NamedSharding(PARAMETERS, spec))
            for x, spec in zip(theta, specs, strict=True)
        ]

        @jax.jit
        def two(theta: Any, h: Any) -> Any:
            g, h = m.update(theta, h)
            return m.update(jax.tree.map(jnp.add, theta, g), h)

        measured[name] = {
            "apart": apart(two(placed, m.init(placed)), two(theta, m.init(theta))),
            "h": max(shares(m.init(placed))),
        }
    return measured


class Bowl(Optimizee):
    """f(θ) = mean d (θ − 1)², θ sharded over four devices or not."""

    d: jax.Array
    sharding: NamedSharding | None = eqx.field(static=True)

    def init(self, key: Any) -> Any:
        theta = 0.1 * jax.random.normal(key, self.d.shape)
        return jax.lax.with_sharding_constraint(theta, self.sharding) if self.sharding else theta

    def loss(self, theta: Any, key: Any) -> Any:
        del key
        return jnp.mean(self.d * (theta - 1) ** 2)


class Bowls(Problem):
    size: int = eqx.field(static=True)
    sharding: NamedSharding | None = eqx.field(static=True, default=None)

    def sample(self, key: Any) -> Bowl:
        d = jnp.exp(jax.random.normal(key, (self.size,)))
        if self.sharding:
            d = jax.lax.with_sharding_constraint(d, self.sharding)
        return Bowl(d, self.sharding)


def coordinates(size: int, compare: bool = True) -> dict[str, Any]:
    """One meta-step of unroll 4 on one optimizee whose coordinates are sharded."""
    m = LSTM((2,), key=KEY)

    def meta_step(problem: Problem) -> Any:
        @jax.jit
        def begin() -> Any:
            return start_batch(m, problem, KEY, 1)

        @jax.jit
        def step(m: Any, begin: Any) -> Any:
            def objective(m: Any) -> Any:
                return meta_loss(
                    m, problem, begin, KEY, num_problems=1, num_steps=4, form="recompute"
                )

            (loss, (end, _)), gradient = jax.value_and_grad(objective, has_aux=True)(m)
            return loss, gradient, end

        trajectory = begin()
        return trajectory, step(m, trajectory), lambda: step.lower(m, trajectory).compile()

    sharding = NamedSharding(PARAMETERS, P("parameters"))
    begin, (loss, gradient, end), compiled = meta_step(Bowls(size, sharding))
    measured = {
        "loss": float(loss),
        "begin": max(shares((begin.theta, begin.state))),
        "end": max(shares((end.theta, end.state))),
        "finite": all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(gradient)),
    }
    if compare:
        _, expected, _ = meta_step(Bowls(size))
        measured["apart"] = apart((loss, gradient, end), expected)
        measured["exchanges"] = sorted(set(exchanges(compiled().as_text())))
    return measured


if __name__ == "__main__":
    assert jax.device_count() == 4
    what = {
        "meta_gradients": meta_gradients,
        "run": run,
        "not_finite": not_finite,
        "sharded_parameters": sharded_parameters,
        "kernels": kernels,
        "averages": averages,
        "coordinates": lambda: coordinates(64),
        "ten million": lambda: coordinates(10_000_000, compare=False),
    }
    print(json.dumps({name: what[name]() for name in sys.argv[1:]}))
