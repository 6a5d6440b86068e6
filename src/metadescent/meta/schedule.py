"""How long, in which pieces, and by which estimate to meta-train."""

from typing import NamedTuple, get_args

from metadescent._errors import UserError, require, require_choice, require_kind
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.truncated import Truncated
from metadescent.recipe import OnNonfinite


class Schedule(NamedTuple):
    """How long, in which pieces, and by which estimate of the meta-gradient to meta-train.

    An epoch is `episodes` episodes of `num_steps` steps, with an update of φ after each `unroll` of
    them, by what `estimator` makes of it. φ is validated on `validation_problems` problems for
    `validation_steps` steps, or for `num_steps` if that is 0. `patience` epochs without a better
    validation loss end the training, though not before `least_epochs` of them; a patience of 0
    means never. `average` is the decay, per update of φ, of the moving average of φ that is
    validated and kept; 0, the paper's recipe, validates φ itself.

    `on_nonfinite` is what follows a meta-step whose loss, meta-gradient or change of φ is NaN or
    infinite. With "skip", φ and what the meta-optimizer carries stay as they were before it. With
    "restart-from-best" the epoch runs to its end, and the next one begins with the best φ so far
    and with what the meta-optimizer carried before. With "stop" nothing is done here: `MetaInfo`
    shows it, and the caller stops.

    Source: section 3.

    Example:
        >>> Schedule(epochs=3, episodes=5, num_steps=20, unroll=10).updates
        30
    """

    epochs: int = 100
    episodes: int = 20
    num_steps: int = 100
    unroll: int = 20
    validation_problems: int = 64
    validation_steps: int = 0
    patience: int = 0
    least_epochs: int = 0
    average: float = 0.0
    on_nonfinite: OnNonfinite = "stop"
    estimator: Estimator = Truncated()

    @property
    def updates(self) -> int:
        """Return the number of updates of φ in the whole run."""
        return self.epochs * self.episodes * (self.num_steps // self.unroll)


def check_schedule(schedule: Schedule) -> None:
    """Raise a UserError where the numbers of a schedule do not make a run.

    Example:
        >>> check_schedule(Schedule(num_steps=100, unroll=30))
        Traceback (most recent call last):
        metadescent.UserError: the horizon of 100 steps is not a multiple of the unroll ...
    """
    for name in ("num_steps", "unroll", "episodes", "validation_problems"):
        require(name, getattr(schedule, name), 1)
    for name in ("epochs", "validation_steps", "patience", "least_epochs"):
        require(name, getattr(schedule, name), 0)
    require("average", schedule.average, 0.0, 0.999999)
    require_choice("policy on_nonfinite", schedule.on_nonfinite, get_args(OnNonfinite))
    require_kind("estimator", schedule.estimator, Estimator, "an estimator; try Truncated()")
    if schedule.num_steps % schedule.unroll:
        segments = max(1, schedule.num_steps // schedule.unroll)
        raise UserError(
            f"the horizon of {schedule.num_steps} steps is not a multiple of the unroll of "
            f"{schedule.unroll}; try --steps {segments * schedule.unroll}"
        )
