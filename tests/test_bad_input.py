"""What is handed to a public function and cannot be taken is named in one sentence."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import metadescent

PROGRAM = Path(__file__).with_name("bad_input.py")
# WORK is a folder of the test's own.
SENTENCES = {
    "meta_train: m": (
        "m is 'adam' and must be a metadescent.LearnedOptimizer, which has φ to train; try "
        "metadescent.LSTM(key=key)"
    ),
    "meta_train: no φ": "the optimizer has no parameters φ to train; try lstm, or tune its rate",
    "meta_train: problem": (
        "problem is 'quadratic' and must be a metadescent.Problem; try "
        "metadescent.FromFunction(loss, init)"
    ),
    "meta_train: schedule": (
        "schedule is 100 and must be a metadescent.Schedule; try Schedule(epochs=10)"
    ),
    "meta_train: meta_optimizer": (
        "meta_optimizer is 0.1 and must be one of Optax's; try optax.adam(1e-3)"
    ),
    "meta_train: key": "key is 7 and must be a key of JAX; try jax.random.key(7)",
    "meta_train: weights": "weights have the shape (3,) and must have (4,), one a step",
    "meta_train: vector": (
        "Vector.loss returns float32[2] and must return a floating-point scalar; try jnp.mean"
    ),
    "meta_train: integers": (
        "θ['w'] as Whole.init returns it is int32 and must be floating-point; try jnp.float32"
    ),
    "meta_train: no optimizee": (
        "what Only.sample returns is 3 and must be a metadescent.Optimizee; try "
        "metadescent.FromFunction(loss, init)"
    ),
    "Spread: spread": (
        "spread is 'all' and must be a metadescent.meta.Spread; try Spread(mesh_of())"
    ),
    "Spread: mesh": (
        "the axes of a spread's mesh are model and must be problems alone; try mesh_of()"
    ),
    "mesh_of: devices": (
        "devices is 'all' and must be a list of devices, at least one; try jax.devices()"
    ),
    "mesh_of: none": "devices is [] and must be a list of devices, at least one; try jax.devices()",
    "Schedule: steps": (
        "the horizon of 3 steps is not a multiple of the unroll of 2; try --steps 2"
    ),
    "Schedule: unroll": "unroll is 0.5 and must be a whole number, at least 1",
    "Schedule: epochs": "epochs is 'many' and must be a whole number, at least 1",
    "Schedule: patience": "patience is -1 and must be at least 0",
    "Schedule: average": "average is 1.0 and must be from 0 to 0.999999",
    "Schedule: on_nonfinite": (
        "there is no policy on_nonfinite 'ignore'; known are stop, skip, restart-from-best"
    ),
    "meta_train: estimator": "estimator is 'pes' and must be an estimator; try Truncated()",
    "unroll: m": (
        "m is 'adam' and must be a learned optimizer or one of Optax's; try "
        "metadescent.load('mnist-lstm') or optax.adam(1e-3)"
    ),
    "unroll: trajectory": (
        "trajectory is Array([1., 1.], dtype=float32) and must be a "
        "metadescent.descent.Trajectory; try metadescent.descent.start(m, f, key)"
    ),
    "unroll: key": (
        "key is Array([1., 1.], dtype=float32) and must be a key of JAX; try jax.random.key(0)"
    ),
    "unroll: num_steps": "num_steps is 0 and must be at least 1",
    "unroll: form": "there is no form 'two-phase'; known are plain, recompute, segments",
    "start: f": (
        "f is Quadratic(dimension=2) and must be a metadescent.Optimizee; try problem.sample(key)"
    ),
    "start: key": "key is None and must be a key of JAX; try jax.random.key(0)",
    "meta_loss: problem": (
        "problem is QuadraticFunction(W=f32[2,2], y=f32[2]) and must be a "
        "metadescent.Problem; try metadescent.FromFunction(loss, init)"
    ),
    "meta_loss: key": "key is 1.5 and must be a key of JAX; try jax.random.key(0)",
    "meta_loss: num_problems": "the number of problems is 0 and must be at least 1",
    "meta_loss: weights": "weights have the shape (2, 1) and must have (2,), one a step",
    "meta_loss: form": (
        "there is no form 'fast'; known are auto, two-phase, recompute, segments, plain"
    ),
    "learning_curves: m": (
        "m is 3 and must be a learned optimizer or one of Optax's; try "
        "metadescent.load('mnist-lstm') or optax.adam(1e-3)"
    ),
    "learning_curves: problem": (
        "problem is None and must be a metadescent.Problem; try "
        "metadescent.FromFunction(loss, init)"
    ),
    "learning_curves: key": "key is 0 and must be a key of JAX; try jax.random.key(0)",
    "learning_curves: num_steps": "num_steps is 0 and must be at least 1",
    "learning_curves: num_seeds": "num_seeds is 2.5 and must be a whole number, at least 1",
    "tune: name": "there is no baseline 'adma'; known are sgd, nag, rmsprop, adam, adamw, lbfgs",
    "tune: num_steps": "num_steps is -1 and must be at least 1",
    "tune: num_seeds": "num_seeds is 0 and must be at least 1",
    "compare: m": (
        "m is 'mnist-lstm' and must be a learned optimizer or one of Optax's; try "
        "metadescent.load('mnist-lstm') or optax.adam(1e-3)"
    ),
    "compare: baselines": (
        "there is no baseline 'adamax'; known are sgd, nag, rmsprop, adam, adamw, lbfgs"
    ),
    "compare: every": "100 steps are not a multiple of 7; try every=1",
    "save: path": "path is 3 and must be a path; try 'mine.safetensors'",
    "save: m": "m is [] and must be a metadescent.LearnedOptimizer; try LSTM(key=key)",
    "save: optimizer": "optimizer is 3 and must be a specification; try 'lstm(layers=(20, 20))'",
    "save: another": (
        "optimizer is 'lstm(layers=(3,), p=None)' and m is 'lstm(layers=(2,), p=None)'; give what "
        "makes m, or leave it out"
    ),
    "save: no such": "there is no optimizer named 'lsmt'; did you mean 'lstm'?",
    "save: card": (
        "JSON cannot hold what WORK/m.safetensors is to say (Object of type set is not "
        "JSON serializable); give texts, numbers, lists and dictionaries"
    ),
    "save: folder": "cannot write WORK: Is a directory; choose another place",
    "load: nothing": "optimizer is 3 and must be a name in the zoo or a path; try 'mnist-lstm'",
    "load: name": (
        "there is no pretrained optimizer and no file 'mnist-lstmm'; did you mean 'mnist-lstm'?"
    ),
    "load: folder": "there is no pretrained optimizer and no file 'WORK'; known are ZOO",
    "LSTM: layers": "layers is 20 and must be a list or tuple of sizes; try (20, 20)",
    "LSTM: a layer": "a layer of the lstm is 2.5 and must be a whole number, at least 1",
    "LSTM: p": "p is 'ten' and must be a number, at least 1e-06",
    "LSTM: scale": "scale is -1.0 and must be at least 0",
    "Anytime: betas": "betas is 0.9 and must be a list or tuple of decays; try (0.9, 0.99)",
    "RNNProp: beta": "beta is 1.0 and must be from 0 to 0.9999",
    "LSTMGAC: averaging": (
        "averaging is 3 and the smallest layer has 2 cells; try fewer averaging cells or more units"
    ),
    "NTMBFGS: reads": "reads is 0 and must be at least 1",
    "NTMLBFGS: history": "history is 1.5 and must be a whole number, at least 1",
    "Pace: horizon": "horizon is 'long' and must be a number, at least 1e-06",
    "Pace: corners": "corners is True and must be a whole number, at least 2",
    "with_state_dtype: of Optax": (
        "m is GradientTransformationExtraArgs(init=<function chain.<loc… and must be a learned "
        "optimizer; try metadescent.load"
    ),
    "AtRest: of Optax": (
        "rule is GradientTransformationExtraArgs(init=<function chain.<loc… and must be a "
        "learned optimizer; try metadescent.load"
    ),
    "Guarded: of Optax": (
        "rule is GradientTransformationExtraArgs(init=<function chain.<loc… and must be a "
        "learned optimizer; try metadescent.load"
    ),
    "Guarded: limit": "limit is -1.0 and must be at least 1e-12",
    "Chained: nothing": "the chain is empty; give one rule or more",
    "Chained: a rule": (
        "GradientTransformationExtraArgs is not coordinatewise and cannot be in such a chain; "
        "use metadescent.optimizers.chain"
    ),
    "InTurn: nothing": "the chain is empty; give one rule or more",
    "InTurn: a rule": (
        "a rule of the chain is GradientTransformationExtraArgs and must be a learned optimizer; "
        "try optax.chain"
    ),
    "chain: nothing": "the chain is empty; give one rule or more",
    "Modulated: layers": "layers is empty; give one layer or more, such as (20, 20)",
    "Pictorial: units": "units is 2.5 and must be a whole number, at least 1",
    "Pictorial: betas": "betas is 0.9 and must be a list or tuple of decays; try (0.9, 0.99)",
    "Pictorial: blurs": "blurs is 1.5 and must be a list or tuple of widths; try (1.5, 6.0)",
    "Relative: rate": "rate is 'long' and must be a number, at least 1e-12",
    "Relative: floor": "floor is -1.0 and must be at least 1e-12",
    "Proportional: rate": "rate is None and must be a number, at least 1e-12",
    "Proportional: power": "power is 5.0 and must be from 0 to 4",
    "Proportional: θ": "proportional measures steps by θ and was given none; pass params",
    "WarmUp: steps": "steps is -1.0 and must be at least 1e-06",
    "Partitioned: nothing": 'there is no group; give one or more, such as ("*", optimizer)',
    "ES: std": "std is 0.0 and must be at least 1e-12",
    "ES: pairs": "pairs is 0 and must be at least 1",
    "learn: problem": (
        "problem is 'quadratic' and must be a metadescent.Problem; try FromFunction(loss, init)"
    ),
    "learn: minutes": "minutes is 0.0 and must be at least 0.001",
    "learn: steps": "steps is 0.5 and must be a whole number, at least 1",
    "learn: loggers": (
        "loggers is 'csv' and must be a list of metadescent.runs.Logger; try "
        "[metadescent.runs.make_logger('csv')]"
    ),
    "runs.train: a logger": (
        "a logger is 'csv' and must be a metadescent.runs.Logger; try "
        "metadescent.runs.make_logger('csv')"
    ),
    "runs.make_logger: name": "there is no logger named 'cvs'; did you mean 'csv'?",
    "PES: std": "std is 0.0 and must be at least 1e-12",
    "PES: leaves": "leaves is 3 and must be a pattern of paths; try 'output/*'",
    "Pool: of": "of is 'truncated' and must be an estimator; try Truncated()",
    "Pool: steps": "steps is 0 and must be at least 1",
    "Pool: problems": "problems is 0 and must be at least 1",
    "Pool: weigh_from": "weigh_from is 8 and must be from 0 to 7",
    "Imitation: teacher": "there is no teacher 'adma'; known are adam, rmsprop, sgd",
    "Truncated: form": (
        "there is no form 'fast'; known are auto, two-phase, recompute, segments, plain"
    ),
    "Truncated: feedback": "feedback is 1.5 and must be from 0 to 1",
    "Quadratic: dimension": "dimension is 2.5 and must be a whole number, at least 1",
    "Quadratic: entries": (
        "there is no distribution of entries 'normal'; known are gaussian, uniform"
    ),
    "IllConditioned: condition": "condition is 0.5 and must be from 1 to 1e+12",
    "Rosenbrock: dimension": "dimension is 'two' and must be a whole number, at least 2",
    "Rescaled: problem": (
        "problem is 'quadratic' and must be a metadescent.Problem; try Quadratic()"
    ),
    "Rescaled: r": "r is -1.0 and must be at least 0",
    "Logarithm: problem": "problem is None and must be a metadescent.Problem; try Quadratic()",
    "FanIn: problem": (
        "problem is 'mnist' and must be a metadescent.Problem; try "
        "MLPClassification(images, labels)"
    ),
    "Together: nothing": "there is no problem to put together; give one or more",
    "Together: a part": "a part is 'convex' and must be a metadescent.Problem; try Quadratic()",
    "MLPClassification: images": (
        "images have the shape (4, 2, 3) and labels (4,) and must have (examples, pixels) "
        "and (examples,); try images.reshape(len(images), -1)"
    ),
    "MLPClassification: labels": (
        "images have the shape (4, 6) and labels (3,) and must have (examples, pixels) and "
        "(examples,); try images.reshape(len(images), -1)"
    ),
    "MLPClassification: hidden": "hidden is 20 and must be a list or tuple of sizes; try (20,)",
    "MLPClassification: activation": (
        "there is no activation 'sigmod'; known are sigmoid, relu, tanh, elu"
    ),
    "FromFunction: loss": (
        "loss is called as loss(theta, key) and cannot be: 'mean' is not a callable "
        "object; try def loss(theta, key)"
    ),
    "FromFunction: vector": (
        "loss returns float32[2] and must return a floating-point scalar; try jnp.mean"
    ),
    "FromFunction: data": (
        "the leaves of the data have 0 entries along their first axes and must all have "
        "the same number, 1 or more; try jax.tree.map(jnp.shape, data)"
    ),
    "data.read_idx: path": ("path is 3 and must be the path of an IDX file; try 'digits.gz'"),
    "data.load_mnist: data_dir": (
        "data_dir is 3 and must be a folder; try 'data', or None for the usual one"
    ),
    "data.load_mnist: split": ("MNIST has the splits 'train' and 'test', but not ['train']."),
    "data.load_cifar10: data_dir": (
        "data_dir is 3 and must be a folder; try 'data', or None for the usual one"
    ),
    "data.load_cifar10: batches": (
        "batches is 3 and must be a list or tuple of batches; try (1, 2)"
    ),
    "data.load_cifar10: a batch": (
        "CIFAR-10 has the batches 1, 2, 3, 4, 5, 'test', 'test-first-1000', and [1] "
        "is none of them."
    ),
    "data.load_content: source": (
        "source is 3 and must be a folder or a zip of pictures, or None for Tiny ImageNet; try "
        "'photographs'"
    ),
    "data.load_content: size": ("size is 'small' and must be a whole number, at least 1"),
    "data.data_dir: explicit": (
        "data_dir is 3 and must be a folder; try 'data', or None for the usual one"
    ),
    "data.fetch: remote": (
        "remote is 'mnist' and must be a metadescent.problems.data.Remote; see its example"
    ),
    "data.fetch: directory": (
        "directory is 3 and must be a folder; try metadescent.problems.data.data_dir()"
    ),
    "zoo.card: name": (
        "there is no pretrained optimizer 'mnist-lstmm'; did you mean 'mnist-lstm'?"
    ),
    "zoo.card: nothing": ("optimizer is 3 and must be a name in the zoo; try 'mnist-lstm'"),
    "zoo.load: nothing": (
        "optimizer is None and must be a name in the zoo or a path; try 'mnist-lstm'"
    ),
    "zoo.pinned: name": (
        "'hf://ada' names no user and repository of the Hub; write hf://user/repo, "
        "hf://user/repo@revision or hf://user/repo/file.safetensors@revision"
    ),
    "zoo.path: nothing": (
        "optimizer is 3 and must be a name in the zoo or a path; try 'mnist-lstm'"
    ),
    "zoo.save: nothing": "m is None and must be a metadescent.LearnedOptimizer; try LSTM(key=key)",
}
# Names that are modules, are refused by others, or take anything that there is to take.
WITHOUT = {
    "bench", "data", "descent", "meta", "optimizers", "problems", "zoo",
    "Batch", "Coordinatewise", "Estimator", "LearnedOptimizer", "Optimizee", "Problem",
    "Trajectory", "UserError", "descend", "start_batch",
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("bad-input")
    words = [sys.executable, str(PROGRAM), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == []
    # With JAX's 64 bits on the sentences name those.
    return {
        call: re.sub(r"\b(float|int|f)64\b", r"\g<1>32", sentence)
        for call, sentence in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize("call", SENTENCES)
def test_what_cannot_be_is_refused_in_a_sentence(call: str, said: dict[str, str]) -> None:
    zoo = ", ".join(metadescent.zoo.names())
    assert said[call] == SENTENCES[call].replace("ZOO", zoo)


def test_every_public_name_refuses_something(said: dict[str, str]) -> None:
    assert said.keys() == SENTENCES.keys()
    refused = {call.partition(":")[0] for call in said}
    rooms = ("descent", "meta", "optimizers", "problems")
    shown = {name for room in rooms for name in getattr(metadescent, room).__all__}
    assert {*metadescent.__all__, *shown} - refused == WITHOUT
    # What has no argument cannot be given a wrong one.
    names = {f"data.{name}" for name in metadescent.problems.data.__all__}
    assert names - refused == {"data.Remote", "data.load_digits"}
    assert {f"zoo.{name}" for name in metadescent.zoo.__all__} - refused == {"zoo.names"}
