"""Neural art on the photographs of Tiny ImageNet, or others, with the networks there are."""

from collections.abc import Callable
from pathlib import Path

from metadescent._errors import UserError
from metadescent.problems.base import Named, Problem
from metadescent.problems.data.content import load_content, style_path
from metadescent.problems.data.pictures import read_picture
from metadescent.problems.dressed import dressed
from metadescent.problems.neural_art.features import FeatureNetwork
from metadescent.problems.neural_art.neural_art import ALPHA, BETA, GAMMA, NeuralArt
from metadescent.problems.neural_art.squeezenet import squeezenet
from metadescent.problems.neural_art.vgg19 import vgg19

NETWORKS: dict[str, Callable[..., FeatureNetwork]] = {"squeezenet": squeezenet, "vgg19": vgg19}


def network(net: str, data_dir: str | Path | None = None) -> FeatureNetwork:
    """Return a network by name, with the weights in the data folder.

    Raises:
        UserError: if there is no such network, or no weights.
    """
    if net not in NETWORKS:
        raise UserError(f"there is no network {net!r}; known are {', '.join(NETWORKS)}")
    return NETWORKS[net](data_dir)


def neural_art(
    net: str = "squeezenet",
    size: int = 64,
    style: str = "starry_night",
    content: str | None = None,
    split: str = "train",
    start: str = "content",
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    theta_std: float = 0.02,
    each: bool = False,
    rescale: float = 0.0,
    log: bool = False,
    data_dir: str | Path | None = None,
) -> Problem:
    """Return the problem of having photographs in the style of one picture.

    Arguments:
        net: the network that features come from, "squeezenet" or "vgg19".
        size: height and width of contents, style and θ; 64 in training in the paper, then 128.
        style: name in the data folder's `style` or of an embedded picture, or a picture's file.
        content: folder or zip of photographs, or the name of an embedded one, with split="all";
            those of Tiny ImageNet if not given.
        split: "train", "validation" or "test", as in `split_names`, or "all".
        start, alpha, beta, gamma, theta_std, each: those of `NeuralArt`.
        rescale, log: those of `dressed`.

    Raises:
        UserError: if a network, a style or photographs are not there, or do not fit each other.

    Source: section 3.4, which does not say which style, which network or which weights.

    Example:
        With another network, and a photograph that needs no download:

        >>> from unittest import mock
        >>> class Colours(FeatureNetwork):
        ...     style_layers, content_layer, least_size = ("a",), "a", 2
        ...     def __call__(self, pixels, layers):
        ...         return {"a": pixels / 255}
        >>> one = {"content": "grace_hopper", "split": "all", "style": "grace_hopper"}
        >>> with mock.patch.dict(NETWORKS, colours=lambda data_dir: Colours()):
        ...     neural_art("colours", size=16, **one).contents.shape
        (1, 16, 16, 3)
    """
    if each and (rescale or log):
        raise UserError("each goes with neither rescale nor log; leave each out")
    pictures = load_content(content, size, split, data_dir)
    painting = read_picture(style_path(style, data_dir), size)
    problem = NeuralArt(
        network(net, data_dir),
        pictures,
        painting,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        start=start,
        theta_std=theta_std,
        each=each,
    )
    return dressed(problem, rescale=rescale, log=log)


# Inputs preprocessed as in appendix A, and no postprocessing.
_RECIPE = {
    "optimizer": "lstm(p=10.0, scale=1.0)",
    "steps": 128,
    "unroll": 32,
    "coordinates": 2048,
    "validation_problems": 20,
}

NAMED = {
    "neural-art": Named(
        neural_art, _RECIPE, "photographs in the style of The Starry Night (section 3.4)"
    )
}
