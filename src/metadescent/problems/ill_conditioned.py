"""Rotated quadratics of a given condition number:  f(θ) = ½ (θ − θ*)ᵀ Q diag(λ) Qᵀ (θ − θ*).

λ runs from 1/κ to 1 and Q is a random rotation, so no rule that treats the coordinates alone can
undo κ. Gradient descent needs a number of steps in proportion to κ, and Newton's method needs one.

Source: appendix D, on the use of correlations between coordinates.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError, require
from metadescent.problems.base import Named, Optimizee, Problem
from metadescent.problems.dressed import dress

SPECTRA = ("geometric", "log-uniform")


class RotatedQuadratic(Optimizee):
    """½ Σ_i λ_i (Qᵀ(θ − θ*))_i², with θ₀ ~ N(0, 1)."""

    Q: Float[Array, "n n"]
    eigenvalues: Float[Array, " n"]
    minimum: Float[Array, " n"]

    def init(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        return jax.random.normal(key, self.minimum.shape)

    def loss(self, theta: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, ""]:
        del key
        # d @ Q is Qᵀd. A sum of squares cannot be rounded to a value below 0; dᵀHd can.
        return 0.5 * jnp.sum(self.eigenvalues * ((theta - self.minimum) @ self.Q) ** 2)


class IllConditioned(Problem):
    """Quadratics with a random rotation Q and a random minimum θ* ~ N(0, 1).

    f(θ) = ½ (θ − θ*)ᵀ Q diag(λ) Qᵀ (θ − θ*)

    Arguments:
        dimension: n.
        condition: κ, the largest eigenvalue over the smallest; the largest is 1.
        spectrum: "geometric", eigenvalues at equal ratios from 1/κ to 1; or "log-uniform", with
            logarithms drawn uniformly between those of 1/κ and 1, so that κ is only a bound.

    Raises:
        UserError: if n is below 2, κ below 1, or the spectrum unknown.

    Example:
        >>> import jax
        >>> f = IllConditioned(dimension=3, condition=100.0).sample(jax.random.key(0))
        >>> f.eigenvalues.round(3).tolist()
        [0.01, 0.1, 1.0]
    """

    dimension: int = eqx.field(static=True, default=10)
    condition: float = eqx.field(static=True, default=100.0)
    spectrum: str = eqx.field(static=True, default="geometric")

    def __check_init__(self) -> None:
        require("dimension", self.dimension, 2)
        require("condition", self.condition, 1.0, 1e12)
        if self.spectrum not in SPECTRA:
            known = " and ".join(SPECTRA)
            raise UserError(f"there is no spectrum {self.spectrum!r}; known are {known}")

    def sample(self, key: PRNGKeyArray) -> RotatedQuadratic:
        Q_key, eigenvalues_key, minimum_key = jax.random.split(key, 3)
        n = self.dimension
        # λ_i = κ^−e_i
        exponents = (
            jnp.linspace(1.0, 0.0, n)
            if self.spectrum == "geometric"
            else jax.random.uniform(eigenvalues_key, (n,))
        )
        return RotatedQuadratic(
            rotation(Q_key, n),
            jnp.asarray(self.condition) ** -exponents,
            jax.random.normal(minimum_key, (n,)),
        )


def rotation(key: PRNGKeyArray, n: int) -> Float[Array, "n n"]:
    """Draw an orthogonal matrix; all of them are equally likely."""
    Q, R = jnp.linalg.qr(jax.random.normal(key, (n, n)))
    # QR leaves the signs of R's diagonal open. Q's distribution is uniform only if all are
    # positive: Mezzadri (2007), "How to generate random matrices from the classical compact
    # groups".
    return Q * jnp.sign(jnp.diagonal(R))


def make_ill_conditioned(
    dimension: int = 10, condition: float = 100.0, spectrum: str = "geometric", log: bool = False
) -> Problem:
    """Return the problem, with the logarithm of f if wanted."""
    return dress(IllConditioned(dimension, condition, spectrum), log=log)


NAMED = {
    "ill-conditioned": Named(
        make_ill_conditioned,
        {"problems": 128},
        "rotated quadratics, 10 dimensions, condition number 100",
    )
}
