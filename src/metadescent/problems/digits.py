"""The 8×8 digits that scikit-learn bundles: a classifier that needs no download."""

from collections.abc import Sequence

from metadescent.problems.base import Named, Problem
from metadescent.problems.classifier import Activation, MLPClassification
from metadescent.problems.data.digits import load_digits
from metadescent.problems.dressed import dressed


def digits(
    hidden: Sequence[int] = (20,),
    activation: Activation = "sigmoid",
    theta_std: float = 0.01,
    batch_size: int = 128,
    rescale: float = 0.0,
    log: bool = False,
) -> Problem:
    """Return the problem of training an MLP on 1797 8×8 digits.

    `rescale` and `log` are those of `dressed`.

    Raises:
        UserError: if scikit-learn is not installed.

    Example:
        >>> import jax
        >>> [w.shape for w, b in digits().sample(jax.random.key(0)).init(jax.random.key(1))]
        [(64, 20), (20, 10)]
    """
    images, labels = load_digits()
    problem = MLPClassification(
        images, labels, hidden, activation, batch_size, theta_std, white=16.0
    )
    return dressed(problem, rescale=rescale, log=log)


def logistic(
    theta_std: float = 0.01, batch_size: int = 128, rescale: float = 0.0, log: bool = False
) -> Problem:
    """Return logistic regression on the same digits: no hidden layer, a convex f.

    Example:
        >>> import jax
        >>> [w.shape for w, b in logistic().sample(jax.random.key(0)).init(jax.random.key(1))]
        [(64, 10)]
    """
    return digits((), theta_std=theta_std, batch_size=batch_size, rescale=rescale, log=log)


_RECIPE = {"optimizer": "lstm(p=10.0, scale=0.1)"}

NAMED = {
    "digits": Named(
        digits,
        _RECIPE,
        "MLP 64-20-10 on scikit-learn's 8×8 digits, sigmoid",
    ),
    "digits-logistic": Named(logistic, _RECIPE, "logistic regression on scikit-learn's 8×8 digits"),
}
