"""Several problems side by side, for an optimizer that should do well on all of them.

    F(θ¹, …, θᴷ) = f₁(θ¹) + … + f_K(θᴷ),     f_k ~ p_k(f)

The parts share no coordinate, so the gradient of each part is its own. Meta-training on F is
meta-training on K families at once. If one of them is convex, it is the helper term that Chen et
al. (2020) add to the meta-loss.

Source: the helper term is from Lv, Jiang and Li (2017), "Learning gradient descent: better
generalization and longer horizons".
"""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError, require_kind
from metadescent.problems.base import Optimizee, Parts, Problem, Theta
from metadescent.problems.batch import Batch


class SumFunction(Optimizee):
    """f₁(θ¹) + … + f_K(θᴷ); θ is the tuple (θ¹, …, θᴷ)."""

    parts: tuple[Optimizee, ...]
    apart: bool = eqx.field(static=True, default=False)

    def init(self, key: PRNGKeyArray) -> tuple[Theta, ...]:
        keys = jax.random.split(key, len(self.parts))
        return tuple(f.init(key) for f, key in zip(self.parts, keys, strict=True))

    def loss(self, theta: tuple[Theta, ...], key: PRNGKeyArray) -> Float[Array, "..."]:
        keys = jax.random.split(key, len(self.parts))
        values = [f.loss(*given) for f, *given in zip(self.parts, theta, keys, strict=True)]
        # The sum does not begin at 0, which would be one more addition with a dtype of its own.
        return sum(values[1:], start=values[0])


class Summand(Optimizee):
    """One f_k of a sum, which draws from a key what it would draw as a part of that sum."""

    f: Optimizee
    place: int = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def init(self, key: PRNGKeyArray) -> Theta:
        return self.f.init(jax.random.split(key, self.count)[self.place])

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        return self.f.loss(theta, jax.random.split(key, self.count)[self.place])


def summands(f: Optimizee) -> list[Optimizee]:
    """Return the summands of f, if its parts are apart, else none; those of a batch are batches."""
    if isinstance(f, Batch):
        return [
            Batch(own, shared, f.size, f.place)
            for own, shared in zip(summands(f.own), summands(f.shared), strict=True)
        ]
    if not (isinstance(f, SumFunction) and f.apart):
        return []
    count = len(f.parts)
    return [Summand(part, place, count) for place, part in enumerate(f.parts)]


class Together(Problem):
    """The sum of one optimizee of each of several problems, drawn independently.

    On the command line the sum is written with plus signs: `mnist + mnist-relu + convex`.

    Arguments:
        parts: the problems, one or more; θ is the tuple of their θ.
        apart: whether an optimizer that looks at all of θ sees each part alone. For coordinatewise
            optimizers, such as the paper's, it makes no difference.

    Raises:
        UserError: if there is no problem.

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> problem = Together([Quadratic(dimension=2), Quadratic(dimension=5)])
        >>> [x.shape for x in problem.sample(jax.random.key(0)).init(jax.random.key(1))]
        [(2,), (5,)]
    """

    parts: tuple[Problem, ...]
    apart: bool = eqx.field(static=True, default=False)

    def __init__(self, parts: Sequence[Problem], apart: bool = False):
        if not parts:
            raise UserError("there is no problem to put together; give one or more")
        for part in parts:
            require_kind("a part", part, Problem, "a metadescent.Problem; try Quadratic()")
        self.parts = tuple(parts)
        self.apart = apart

    def sample(self, key: PRNGKeyArray) -> SumFunction:
        keys = jax.random.split(key, len(self.parts))
        fs = tuple(p.sample(key) for p, key in zip(self.parts, keys, strict=True))
        return SumFunction(fs, self.apart)

    @property
    def num_tasks(self) -> int | None:
        counts = [part.num_tasks for part in self.parts if part.num_tasks is not None]
        return min(counts, default=None)

    @property
    def at_once(self) -> int | None:
        counts = [part.at_once for part in self.parts if part.at_once is not None]
        return min(counts, default=None)

    def hold_out(self, share: float) -> Parts:
        held = [part.hold_out(share) for part in self.parts]
        return Parts(*(Together(parts, self.apart) for parts in zip(*held, strict=True)))
