"""Neural art on the photographs of Tiny ImageNet, or others, with one of the known networks."""

from collections.abc import Callable
from pathlib import Path

from metadescent._errors import UserError
from metadescent.problems.base import Named, Problem
from metadescent.problems.data.content import load_content, style_path
from metadescent.problems.data.pictures import read_picture
from metadescent.problems.dressed import dress
from metadescent.problems.neural_art.features import FeatureNetwork
from metadescent.problems.neural_art.neural_art import ALPHA, BETA, GAMMA, NeuralArt
from metadescent.problems.neural_art.squeezenet import load_squeezenet
from metadescent.problems.neural_art.vgg19 import load_vgg19

NETWORKS: dict[str, Callable[..., FeatureNetwork]] = {
    "squeezenet": load_squeezenet,
    "vgg19": load_vgg19,
}


def network(net: str, data_dir: str | Path | None = None, smooth: bool = False) -> FeatureNetwork:
    """Return a network by name, with the weights in the data folder."""
    if net not in NETWORKS:
        raise UserError(f"there is no network {net!r}; known are {', '.join(NETWORKS)}")
    return NETWORKS[net](data_dir, smooth)


# Section 3.4 does not say which style, which network or which weights.
def make_neural_art(
    net: str = "squeezenet",
    size: int = 64,  # of contents, style and θ; in the paper 64 in training, and then 128
    style: str = "starry_night",  # by name, in the data folder or embedded, or a picture's file
    content: str | None = None,  # a folder or zip, or an embedded one; or those of Tiny ImageNet
    split: str = "train",  # as in `load_content`; "all" for pictures of one's own
    start: str = "content",
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    theta_std: float = 0.02,
    each: bool = False,
    smooth: bool = False,  # the network halves sizes by a blur, as in `stylize`
    rescale: float = 0.0,
    log: bool = False,
    data_dir: str | Path | None = None,
) -> Problem:
    """Return the problem of giving photographs the style of one picture."""
    # A wrapper draws f by `sample`, which is not given f's number in the batch.
    if each and (rescale or log):
        raise UserError("each goes with neither rescale nor log; leave each out")
    pictures = load_content(content, size, split, data_dir)
    painting = read_picture(style_path(style, data_dir), size)
    problem = NeuralArt(
        network(net, data_dir, smooth),
        pictures,
        painting,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        start=start,
        theta_std=theta_std,
        each=each,
    )
    return dress(problem, rescale=rescale, log=log)


# Inputs are preprocessed as in appendix A, and outputs are not postprocessed.
_RECIPE = {
    "optimizer": "lstm(p=10.0, scale=1.0)",
    "steps": 128,
    "unroll": 32,
    "coordinates": 2048,
    "validation_problems": 20,
}

NAMED = {
    "neural-art": Named(
        make_neural_art, _RECIPE, "photographs in the style of The Starry Night (section 3.4)"
    )
}
