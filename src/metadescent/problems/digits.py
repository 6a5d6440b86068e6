"""The 8×8 digits that scikit-learn bundles: a classifier that needs no download."""

from collections.abc import Sequence
from functools import partial

from metadescent.problems.base import Named, Problem
from metadescent.problems.classifier import Activation, MLPClassification
from metadescent.problems.data.digits import load_digits
from metadescent.problems.dressed import dress


def make_digits(
    hidden: Sequence[int] = (20,),
    activation: Activation = "sigmoid",
    theta_std: float = 0.01,
    batch_size: int = 128,
    rescale: float = 0.0,
    log: bool = False,
) -> Problem:
    """Return the problem of training an MLP on 1797 8×8 digits."""
    images, labels = load_digits()
    problem = MLPClassification(
        images, labels, hidden, activation, batch_size, theta_std, white=16.0
    )
    return dress(problem, rescale=rescale, log=log)


_RECIPE = {"optimizer": "lstm(p=10.0, scale=0.1)"}

NAMED = {
    "digits": Named(make_digits, _RECIPE, "MLP 64-20-10 on scikit-learn's 8×8 digits, sigmoid"),
    # Without a hidden layer f is convex, and the activation is not used.
    "digits-logistic": Named(
        partial(make_digits, (), "sigmoid"),
        _RECIPE,
        "logistic regression on scikit-learn's 8×8 digits",
    ),
}
