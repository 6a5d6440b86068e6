"""Neural art by its name: what the options are, and what is missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from metadescent.problems.data.networks import network_path
from metadescent.problems.data.pictures import write_picture
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.neural_art import squeezenet
from metadescent.problems.neural_art.neural_art import NeuralArt
from metadescent.registry import make_problem, recipe_of


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder: SqueezeNet with weights drawn at random, a style, and three contents."""
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=shape, scale=0.1).astype(np.float32)
        for name, shape in squeezenet.SHAPES.items()
    }
    path = network_path("squeezenet", tmp_path)
    path.parent.mkdir()
    path.write_bytes(save(arrays))
    write_picture(tmp_path / "style" / "starry_night.png", picture(20, 30))
    for seed in range(3):
        write_picture(tmp_path / "photos" / f"{seed}.png", picture(20, 20, seed))
    return tmp_path


def test_its_name_takes_literals(folder: Path, sentence: Callable) -> None:
    own = f"size=16, content={str(folder / 'photos')!r}, split='all'"
    problem = make_problem(f"neural-art({own}, start='noise', beta=7.0, theta_std=0.5)", folder)
    assert isinstance(problem, NeuralArt)
    assert problem.contents.shape == (3, 16, 16, 3)
    assert (problem.beta, problem.start, problem.theta_std) == (7.0, "noise", 0.5)
    assert set(problem.grams) == {"conv1", "fire2", "fire4", "fire6"}
    assert isinstance(make_problem(f"neural-art({own}, log=True)", folder), Logarithm)
    smooth = make_problem(f"neural-art({own}, smooth=True)", folder)
    assert isinstance(smooth, NeuralArt)
    networks = smooth.network, problem.network
    assert [isinstance(n, squeezenet.SqueezeNet) and n.smooth for n in networks] == [True, False]
    style = str(folder / "photos" / "1.png")
    in_another_style = make_problem(f"neural-art({own}, style={style!r})", folder)
    assert not np.array_equal(in_another_style.grams["conv1"], problem.grams["conv1"])
    error = sentence(make_problem, f"neural-art({own}, net='resnet')", folder)
    assert error == "there is no network 'resnet'; known are squeezenet, vgg19"
    assert sentence(make_problem, f"neural-art({own}, net='vgg19')", folder).startswith(
        f"{network_path('vgg19', folder)} is missing; "
    )


def test_the_recipe_is_the_paper_s() -> None:
    recipe = recipe_of("neural-art")
    assert (recipe["steps"], recipe["unroll"]) == (128, 32)
    assert recipe["optimizer"] == "lstm(p=10.0, scale=1.0)"


def test_in_turn_goes_with_no_wrapper(sentence: Callable) -> None:
    assert sentence(make_problem, "neural-art(each=True, log=True)") == (
        "each goes with neither rescale nor log; leave each out"
    )
