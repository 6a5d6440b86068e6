"""What public functions say to what they cannot take, as JSON: the sentence of each call.

A program of its own, without the type checker that tests have: it would speak first.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import metadescent as md
from metadescent import runs
from metadescent.descent.unrolling import start
from metadescent.problems import data

KEY = jax.random.key(0)
WORK = Path(sys.argv[1])
LSTM = md.LSTM((2,), p=None, key=KEY)
QUADRATIC = md.problems.Quadratic(dimension=2)
BEGUN = start(LSTM, QUADRATIC.sample(KEY), KEY)
SIZES = {"num_problems": 1, "num_steps": 2}
CURVES = {"num_steps": 2, "num_seeds": 2}
IMAGES, LABELS = np.zeros((4, 6), np.uint8), np.arange(4)


class Vector(md.Optimizee):
    def init(self, key: Any) -> Any:
        return jnp.ones(2)

    def loss(self, theta: Any, key: Any) -> Any:
        return theta**2


class Whole(md.Optimizee):
    def init(self, key: Any) -> Any:
        return {"w": jnp.arange(2)}

    def loss(self, theta: Any, key: Any) -> Any:
        return jnp.sum(theta["w"])


class Only(md.Problem):
    f: Any

    def sample(self, key: Any) -> Any:
        return self.f


def meta_train(**changed: Any) -> Any:
    given = {"m": LSTM, "problem": QUADRATIC, "schedule": md.Schedule(steps=4, unroll=2)}
    given |= {"meta_optimizer": optax.adam(0.1), "key": KEY} | changed
    m, problem, schedule = (given.pop(name) for name in ("m", "problem", "schedule"))
    return next(iter(md.meta_train(m, problem, schedule, **given)))


def trained(**given: Any) -> Any:
    return next(runs.train(WORK, QUADRATIC, "q", runs.plan_of(runs.Recipe()), **given))


def scheduled(**numbers: Any) -> Any:
    return meta_train(schedule=md.Schedule(**{"steps": 4, "unroll": 2, **numbers}))


def unrolled(**changed: Any) -> Any:
    given = {"m": LSTM, "f": QUADRATIC.sample(KEY), "at": BEGUN, "key": KEY, "num_steps": 2}
    given |= changed
    m, f, at, key = (given.pop(name) for name in ("m", "f", "at", "key"))
    return md.descent.unroll(m, f, at, key, **given)


def meta_loss(**changed: Any) -> Any:
    given = {"m": LSTM, "problem": QUADRATIC, "at": BEGUN, "key": KEY, **SIZES} | changed
    m, problem, at, key = (given.pop(name) for name in ("m", "problem", "at", "key"))
    return md.meta.meta_loss(m, problem, at, key, **given)


def curves(m: Any = LSTM, problem: Any = QUADRATIC, key: Any = KEY, **sizes: Any) -> Any:
    return md.learning_curves(m, problem, key, **(CURVES | sizes))


def tune(name: Any = "sgd", problem: Any = QUADRATIC, key: Any = KEY, **sizes: Any) -> Any:
    return md.tune(name, problem, key, **(CURVES | sizes))


def save(path: Any = WORK / "m.safetensors", m: Any = LSTM, **said: Any) -> Any:
    md.save(path, m, **({"optimizer": "lstm(layers=(2,), p=None)"} | said))


CALLS: dict[str, Any] = {
    "meta_train: m": lambda: meta_train(m="adam"),
    "meta_train: no φ": lambda: meta_train(m=md.optimizers.Partitioned([("*", optax.sgd(0.1))])),
    "meta_train: problem": lambda: meta_train(problem="quadratic"),
    "meta_train: schedule": lambda: meta_train(schedule=100),
    "meta_train: meta_optimizer": lambda: meta_train(meta_optimizer=0.1),
    "meta_train: key": lambda: meta_train(key=7),
    "meta_train: weights": lambda: meta_train(weights=jnp.ones(3)),
    "meta_train: vector": lambda: meta_train(problem=Only(Vector())),
    "meta_train: integers": lambda: meta_train(problem=Only(Whole())),
    "meta_train: no optimizee": lambda: meta_train(problem=Only(3)),
    "Spread: spread": lambda: meta_train(spread="all"),
    "Spread: mesh": lambda: meta_train(spread=md.meta.Spread(jax.make_mesh((1,), ("model",)))),
    "mesh_of: devices": lambda: md.meta.mesh_of("all"),
    "mesh_of: none": lambda: md.meta.mesh_of([]),
    "Schedule: steps": lambda: scheduled(steps=3),
    "Schedule: unroll": lambda: scheduled(unroll=0.5),
    "Schedule: epochs": lambda: scheduled(epochs="many"),
    "Schedule: patience": lambda: scheduled(patience=-1),
    "Schedule: average": lambda: scheduled(average=1.0),
    "Schedule: on_nonfinite": lambda: scheduled(on_nonfinite="ignore"),
    "meta_train: estimator": lambda: meta_train(estimator="pes"),
    "unroll: m": lambda: unrolled(m="adam"),
    "unroll: trajectory": lambda: unrolled(at=jnp.ones(2)),
    "unroll: key": lambda: unrolled(key=jnp.ones(2)),
    "unroll: num_steps": lambda: unrolled(num_steps=0),
    "unroll: form": lambda: unrolled(form="two-phase"),
    "start: f": lambda: start(LSTM, QUADRATIC, KEY),
    "start: key": lambda: start(LSTM, QUADRATIC.sample(KEY), None),
    "meta_loss: problem": lambda: meta_loss(problem=QUADRATIC.sample(KEY)),
    "meta_loss: key": lambda: meta_loss(key=1.5),
    "meta_loss: num_problems": lambda: meta_loss(num_problems=0),
    "meta_loss: weights": lambda: meta_loss(weights=jnp.ones((2, 1))),
    "meta_loss: form": lambda: meta_loss(form="fast"),
    "learning_curves: m": lambda: curves(m=3),
    "learning_curves: problem": lambda: curves(problem=None),
    "learning_curves: key": lambda: curves(key=0),
    "learning_curves: num_steps": lambda: curves(num_steps=0),
    "learning_curves: num_seeds": lambda: curves(num_seeds=2.5),
    "tune: name": lambda: tune("adma"),
    "tune: num_steps": lambda: tune(num_steps=-1),
    "tune: num_seeds": lambda: tune(num_seeds=0),
    "compare: m": lambda: md.compare({"x": "mnist-lstm"}, QUADRATIC, "q", baselines=[]),
    "compare: baselines": lambda: md.compare({}, QUADRATIC, "q", baselines=["adamax"]),
    "compare: every": lambda: md.compare(
        {"x": LSTM}, QUADRATIC, "q", baselines=[], held_out=QUADRATIC, every=7
    ),
    "save: path": lambda: save(3),
    "save: m": lambda: save(m=[]),
    "save: optimizer": lambda: save(optimizer=3),
    "save: another": lambda: save(optimizer="lstm(layers=(3,), p=None)"),
    "save: no such": lambda: save(optimizer="lsmt"),
    "save: card": lambda: save(made_by={1, 2}),
    "save: folder": lambda: save(WORK),
    "load: nothing": lambda: md.load(3),
    "load: name": lambda: md.load("mnist-lstmm"),
    "load: folder": lambda: md.load(WORK),
    "LSTM: layers": lambda: md.LSTM(20, key=KEY),
    "LSTM: a layer": lambda: md.LSTM((20, 2.5), key=KEY),
    "LSTM: p": lambda: md.LSTM(p="ten", key=KEY),
    "LSTM: scale": lambda: md.LSTM(scale=-1.0, key=KEY),
    "Anytime: betas": lambda: md.optimizers.Anytime(betas=0.9, key=KEY),
    "RNNProp: beta": lambda: md.optimizers.RNNProp(beta=1.0, key=KEY),
    "LSTMGAC: averaging": lambda: md.optimizers.LSTMGAC((2,), averaging=3, key=KEY),
    "NTMBFGS: reads": lambda: md.optimizers.NTMBFGS(reads=0, key=KEY),
    "NTMLBFGS: history": lambda: md.optimizers.NTMLBFGS(history=1.5, key=KEY),
    "Pace: horizon": lambda: md.optimizers.Pace(horizon="long", key=KEY),
    "Pace: corners": lambda: md.optimizers.Pace(corners=True, key=KEY),
    "with_state_dtype: of Optax": lambda: md.optimizers.with_state_dtype(optax.sgd(0.1), "f2"),
    "AtRest: of Optax": lambda: md.optimizers.AtRest(optax.sgd(0.1)),
    "Guarded: of Optax": lambda: md.optimizers.Guarded(optax.sgd(0.1)),
    "Guarded: limit": lambda: md.optimizers.Guarded(LSTM, limit=-1.0),
    "Chained: nothing": lambda: md.optimizers.Chained([]),
    "Chained: a rule": lambda: md.optimizers.Chained([LSTM, optax.sgd(0.1)]),
    "InTurn: nothing": lambda: md.optimizers.InTurn([]),
    "InTurn: a rule": lambda: md.optimizers.InTurn([LSTM, optax.sgd(0.1)]),
    "chain: nothing": lambda: md.optimizers.chain([]),
    "Modulated: layers": lambda: md.optimizers.Modulated(layers=(), key=KEY),
    "Pictorial: units": lambda: md.optimizers.Pictorial(units=2.5, key=KEY),
    "Pictorial: betas": lambda: md.optimizers.Pictorial(betas=0.9, key=KEY),
    "Pictorial: blurs": lambda: md.optimizers.Pictorial(blurs=1.5, key=KEY),
    "Relative: rate": lambda: md.optimizers.Relative(rate="long", key=KEY),
    "Relative: floor": lambda: md.optimizers.Relative(floor=-1.0, key=KEY),
    "Proportional: rate": lambda: md.optimizers.Proportional(rate=None, key=KEY),
    "Proportional: power": lambda: md.optimizers.Proportional(power=5.0, key=KEY),
    "Proportional: θ": lambda: md.optimizers.Proportional(key=KEY).update(jnp.ones(2), ()),
    "WarmUp: steps": lambda: md.optimizers.WarmUp(steps=-1.0, key=KEY),
    "Partitioned: nothing": lambda: md.optimizers.Partitioned([]),
    "ES: std": lambda: md.meta.ES(std=0.0),
    "ES: pairs": lambda: md.meta.ES(pairs=0),
    "learn: problem": lambda: md.learn("quadratic"),
    "learn: minutes": lambda: md.learn(QUADRATIC, minutes=0.0),
    "learn: steps": lambda: md.learn(QUADRATIC, steps=0.5),
    "learn: loggers": lambda: md.learn(QUADRATIC, loggers="csv"),
    "runs.train: a logger": lambda: trained(loggers=["csv"]),
    "runs.make_logger: name": lambda: runs.make_logger("cvs"),
    "PES: std": lambda: md.meta.PES(std=0.0),
    "PES: leaves": lambda: md.meta.PES(leaves=3),
    "Pool: of": lambda: md.meta.Pool("truncated"),
    "Pool: steps": lambda: md.meta.Pool(steps=0),
    "Pool: problems": lambda: md.meta.Pool(problems=0),
    "Pool: weigh_from": lambda: md.meta.Pool(steps=8, weigh_from=8),
    "Imitation: teacher": lambda: md.meta.Imitation(teacher="adma"),
    "Truncated: form": lambda: md.Truncated(form="fast"),
    "Truncated: feedback": lambda: md.Truncated(feedback=1.5),
    "Quadratic: dimension": lambda: md.problems.Quadratic(dimension=2.5),
    "Quadratic: entries": lambda: md.problems.Quadratic(entries="normal"),
    "IllConditioned: condition": lambda: md.problems.IllConditioned(condition=0.5),
    "Rosenbrock: dimension": lambda: md.problems.Rosenbrock(dimension="two"),
    "Rescaled: problem": lambda: md.problems.Rescaled("quadratic"),
    "Rescaled: r": lambda: md.problems.Rescaled(QUADRATIC, -1.0),
    "Logarithm: problem": lambda: md.problems.Logarithm(None),
    "FanIn: problem": lambda: md.problems.FanIn("mnist"),
    "Together: nothing": lambda: md.problems.Together([]),
    "Together: a part": lambda: md.problems.Together([QUADRATIC, "convex"]),
    "MLPClassification: images": lambda: md.problems.MLPClassification(
        IMAGES.reshape(4, 2, 3), LABELS
    ),
    "MLPClassification: labels": lambda: md.problems.MLPClassification(IMAGES, LABELS[:3]),
    "MLPClassification: hidden": lambda: md.problems.MLPClassification(IMAGES, LABELS, hidden=20),
    "MLPClassification: activation": lambda: md.problems.MLPClassification(
        IMAGES, LABELS, activation="sigmod"
    ),
    "FromFunction: loss": lambda: md.FromFunction("mean", lambda key: jnp.ones(2)),
    "FromFunction: vector": lambda: md.FromFunction(
        lambda theta, key: theta, lambda key: jnp.ones(2)
    ),
    "FromFunction: data": lambda: md.FromFunction(
        lambda theta, key, x: theta @ x, lambda key: jnp.ones(2), jnp.zeros((0, 2))
    ),
    "data.read_idx: path": lambda: data.read_idx(3),
    "data.load_mnist: data_dir": lambda: data.load_mnist(3),
    "data.load_mnist: split": lambda: data.load_mnist(WORK, split=["train"]),
    "data.load_cifar10: data_dir": lambda: data.load_cifar10(3),
    "data.load_cifar10: batches": lambda: data.load_cifar10(WORK, batches=3),
    "data.load_cifar10: a batch": lambda: data.load_cifar10(WORK, batches=([1],)),
    "data.load_content: source": lambda: data.load_content(3),
    "data.load_content: size": lambda: data.load_content(WORK, size="small"),
    "data.data_dir: explicit": lambda: data.data_dir(3),
    "data.fetch: remote": lambda: data.fetch("mnist", WORK),
    "data.fetch: directory": lambda: data.fetch(data.Remote("a/b", (), "0" * 64), 3),
    "zoo.card: name": lambda: md.zoo.card("mnist-lstmm"),
    "zoo.card: nothing": lambda: md.zoo.card(3),
    "zoo.load: nothing": lambda: md.zoo.load(None),
    "zoo.path: nothing": lambda: md.zoo.path(3),
    "zoo.pinned: name": lambda: md.zoo.pinned("hf://ada"),
    "zoo.save: nothing": lambda: md.zoo.save(WORK / "m.safetensors", None),
}


def main() -> None:
    said = {}
    for name, call in CALLS.items():
        try:
            call()
            said[name] = "NOTHING"
        except md.UserError as error:
            said[name] = str(error).replace(str(WORK), "WORK")
        except Exception as error:
            said[name] = f"{type(error).__name__.upper()} {error}"[:300]
    print(json.dumps(said, ensure_ascii=False))


main()
