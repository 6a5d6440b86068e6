"""Every pretrained optimizer loads, does its work, and has a card that tells the truth."""

import importlib.util
import itertools
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent import cli, zoo
from metadescent._errors import UserError
from metadescent.descent.curves import learning_curves
from metadescent.optimizers.lstm import LSTM
from metadescent.registry import make_problem, recipe_of
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import train
from metadescent.zoo import catalogue
from metadescent.zoo.cards import read_card
from metadescent.zoo.file import save

ROOT = Path(__file__).parents[2]

pretrained = pytest.mark.parametrize("name", zoo.names())


@pretrained
def test_it_loads_and_its_phi_is_finite(name: str) -> None:
    leaves = jax.tree.leaves(zoo.load(name))
    assert leaves
    assert all(np.isfinite(leaf).all() for leaf in leaves)


# Networks, pictures and memories take long to compile.
LIGHT = re.compile(r"(quadratic|quadratic-uniform|ill-conditioned)-(lstm|gac)")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if LIGHT.fullmatch(name) else pytest.mark.slow)
        for name in zoo.names()
    ],
)
def test_it_optimizes_what_it_was_trained_on(name: str) -> None:
    """In 100 steps to half of f, or in the first tenth of a run of 1000 to four fifths."""
    card = read_card(zoo.path(name))
    trained_on, part = card["trained_on"], 0.5 if card["recipe"]["steps"] <= 200 else 0.8
    try:
        problem = make_problem(trained_on)
    except UserError as error:
        pytest.skip(f"no data: {error}")
    key = jax.random.key(0)
    losses = learning_curves(zoo.load(name), problem, key, num_steps=100, num_seeds=4).mean(0)
    if "log=True" in trained_on:
        losses = np.exp(losses)
    assert losses[-10:].mean() < part * losses[0]


@pretrained
def test_the_command_on_its_card_is_its_recipe(name: str) -> None:
    (line,) = re.findall(r"`(metadescent train .+?)` \|", zoo.card(name))
    commands = [cli._parse(shlex.split(command)[1:]) for command in line.split(" && ")]
    stages = [read_card(zoo.path(name))]
    while stages[0].get("before"):
        stages.insert(0, stages[0]["before"])
    earlier = [""] + [str(command.out) for command in commands]
    for command, made, init in zip(commands, stages, earlier, strict=False):
        assert command.problem == made["trained_on"]
        assert command.recipe == replace(Recipe(**made["recipe"]), init=init)
    assert len(commands) == len(stages)


@pretrained
def test_its_card_and_its_file_say_the_same(name: str) -> None:
    text, made = zoo.card(name), read_card(zoo.path(name))
    assert text.startswith(f"# {name}\n")
    for value in (
        made["optimizer"],
        made["trained_on"],
        made["hardware"],
        f"| seed | {made['seed']} |",
        f"{made['budget']['meta_steps']:,} meta-steps",
        f"{made['validation']['loss']:.4g}",
        f"{made['test']['final']:.4g}",
        f"{made['test']['sum']:.4g}",
        f"{made['test']['seeds']} fresh problems",
        ", ".join(f"{loss:.4g}" for loss in made["validation"]["curve"]),
    ):
        assert value in text, value


@pretrained
def test_it_is_the_best_of_its_validation_curve(name: str) -> None:
    made = read_card(zoo.path(name))
    curve = made["validation"]["curve"]
    assert len(curve) == made["budget"]["epoch"]
    assert made["validation"]["loss"] == pytest.approx(curve[-1], rel=1e-5, abs=0)
    assert curve[-1] == min(curve)
    assert made["budget"]["seconds"] > 0


def test_every_card_has_an_optimizer_and_the_other_way_round() -> None:
    assert sorted(path.stem for path in catalogue.FOLDER.glob("*.md")) == zoo.names()


@pytest.mark.parametrize(
    ("problem", "other"),
    [
        ("quadratic", {}),
        ("quadratic", {"optimizer": "lstm(layers=(4,), p=None)", "seed": 3}),
        ("quadratic(dimension=3)", {"second_derivatives": True}),
    ],
)
def test_the_command_that_is_published_makes_the_recipe_again(
    problem: str, other: dict[str, Any]
) -> None:
    spec = importlib.util.spec_from_file_location("publish", ROOT / "tools" / "publish.py")
    assert spec is not None
    assert spec.loader is not None
    publish = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(publish)
    recipe = replace(replace(Recipe(), **recipe_of(problem)), **other)
    parsed = cli._parse(shlex.split(publish.command_of(problem, asdict(recipe)))[1:])
    assert (parsed.problem, parsed.recipe) == (problem, recipe)


@pytest.mark.slow
def test_the_command_on_the_card_trains_like_it_again(tmp_path: Path) -> None:
    """The first epochs of the zoo's quickest training, against the curve on its card.

    Other forms of the same arithmetic have come since it was trained, and in chaotic training what
    differs in the last bit soon differs in the first digit: the first two epochs are close, and the
    best of five as good.
    """
    name, epochs = "quadratic-lstm", 5
    (line,) = re.findall(r"`(metadescent train .+?)` \|", zoo.card(name))
    command = cli._parse(shlex.split(line)[1:])
    training = train(
        tmp_path / "run",
        make_problem(command.problem),
        command.problem,
        plan_of(command.recipe),
    )
    losses = [float(info.validation_loss) for _, info in itertools.islice(training, epochs)]
    on_card = read_card(zoo.path(name))["validation"]["curve"][:epochs]
    np.testing.assert_allclose(losses[:2], on_card[:2], rtol=0.2)
    assert min(losses) < 1.25 * min(on_card)


# Names and files of one's own.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo with one optimizer."""
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "zoo")
    saved(tmp_path / "zoo" / "quadratic-lstm.safetensors", seed=1)
    (tmp_path / "zoo" / "quadratic-lstm.md").write_text("# quadratic-lstm")
    return tmp_path


def saved(path: Path, *, seed: int) -> LSTM:
    m = LSTM((2,), key=jax.random.key(seed))
    save(path, m)
    return m


def test_a_name_a_file_and_a_run_folder_are_all_optimizers(
    folder: Path, assert_same_bits: Callable
) -> None:
    mine = saved(folder / "mine.safetensors", seed=2)
    run = saved(folder / "run" / "optimizer.safetensors", seed=3)
    assert zoo.names() == ["quadratic-lstm"]
    assert_same_bits(zoo.load("quadratic-lstm"), LSTM((2,), key=jax.random.key(1)))
    assert_same_bits(zoo.load(folder / "mine.safetensors"), mine)
    assert_same_bits(zoo.load(str(folder / "run")), run)
    assert zoo.card("quadratic-lstm") == "# quadratic-lstm"


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("quadratic-lsmt", "did you mean 'quadratic-lstm'?"),
        ("zebra", "known are quadratic-lstm"),
        ("zoo", "known are quadratic-lstm"),
    ],
)
def test_what_is_neither_is_said_to_be(
    given: str, hint: str, folder: Path, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    monkeypatch.chdir(folder)
    assert sentence(zoo.load, given) == (
        f"there is no pretrained optimizer and no file {given!r}; {hint}"
    )


def two_updates(m: Any, theta: Any) -> Any:
    """Two steps, whose gradients are θ and −θ/2."""
    _, state = m.update(theta, m.init(theta), theta)
    return m.update(jax.tree.map(lambda x: -x / 2, theta), state, theta)[0]


def test_phi_is_loaded_with_64_bits_or_without() -> None:
    with jax.enable_x64(True):
        dtypes = {x.dtype for name in zoo.names() for x in jax.tree.leaves(zoo.load(name))}
    assert dtypes == {np.dtype("float32")}


QUICK = ("mnist-lstm", "quadratic-gac")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in zoo.names()],
)
def test_phi_has_the_dtype_of_its_file_whatever_the_settings(
    name: str, assert_close: Callable
) -> None:
    theta = {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(2)}
    plain = two_updates(zoo.load(name), theta)
    with jax.enable_x64(True):
        m = zoo.load(name)
        assert all(x.dtype == np.float32 for x in jax.tree.leaves(m))
        assert_close(two_updates(m, theta), plain, rtol=1e-3, atol=1e-6)
        wide = two_updates(m, {k: jnp.asarray(x, np.float64) for k, x in theta.items()})
        assert all(x.dtype == np.float64 for x in jax.tree.leaves(wide))
        assert_close(wide, plain, rtol=1e-3, atol=1e-6)


def test_a_file_of_64_bits_loads_without_them(tmp_path: Path, assert_close: Callable) -> None:
    path, theta = tmp_path / "m.safetensors", jnp.ones(3)
    with jax.enable_x64(True):
        m = LSTM((2,), key=jax.random.key(0))
        assert m.output.weight.dtype == np.float64
        zoo.save(path, m)
        assert zoo.load(path).output.weight.dtype == np.float64
        wide = two_updates(m, theta)
    with jax.enable_x64(False):
        m = zoo.load(path)
        assert m.output.weight.dtype == np.float32
        assert_close(two_updates(m, jnp.ones(3)), wide, rtol=1e-5)
