"""The length, the pieces and the safeguards of meta-training (section 3); without JAX."""

from dataclasses import dataclass
from typing import Literal, get_args

from metadescent._errors import UserError, require, require_choice
from metadescent._levels import Level, parse_levels

Form = Literal["auto", "two-phase", "recompute", "segments", "plain"]
"""How a meta-gradient is computed: the same values, other time and memory; auto: the quickest."""
OnNonfinite = Literal["stop", "skip", "restart-from-best"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and in which pieces to meta-train.

    An episode is `steps` steps, with an update of φ after each `unroll` of them. An epoch is
    `episodes` episodes, after which φ is validated.

    With `on_nonfinite` "skip", a meta-step whose loss, meta-gradient or change of φ is NaN or
    infinite leaves φ and the meta-optimizer's state as they were before it. With
    "restart-from-best" the epoch runs to its end. The next one begins with the best φ so far and
    with the meta-optimizer's state before that epoch. With "stop" `meta_train` does nothing:
    `MetaInfo` shows it, and the caller stops.

    Raises:
        UserError: if a number is out of its range.

    Source: section 3.

    Example:
        >>> Schedule(epochs=3, episodes=5, steps=20, unroll=10).updates
        30
    """

    steps: int = 100
    """Horizon: optimization steps an episode."""
    unroll: int = 20
    """Steps between two updates of φ."""
    epochs: int = 100
    """Validations: the best φ at the end of an epoch is kept."""
    episodes: int = 20
    """Episodes an epoch."""
    validation_problems: int = 64
    """Problems that each validation averages over."""
    validation_steps: int = 0
    """Steps of each validation; 0: the horizon."""
    held_out: float = 0.0
    """Share of a problem's tasks that φ is not trained but validated on, where it has a number."""
    levels: str = ""
    """Losses and usual steps, "0.5@10,0.1@100*2": φ is validated by how fast it gets to them."""
    patience: int = 0
    """Stop after this many epochs without a better validation loss; 0: never."""
    least_epochs: int = 0
    """Do not stop by impatience before this many epochs."""
    average: float = 0.0
    """Decay, per meta-step, of the moving average of φ that is validated and kept; 0: φ itself."""
    on_nonfinite: OnNonfinite = "stop"
    """At a loss or meta-gradient that is not finite: stop, skip it, or restart from the best φ."""

    def __post_init__(self) -> None:
        for name in ("steps", "unroll", "epochs", "episodes", "validation_problems"):
            require(name, getattr(self, name), 1)
        for name in ("validation_steps", "patience", "least_epochs"):
            require(name, getattr(self, name), 0)
        require("average", self.average, 0.0, 0.999999)
        require("held_out", self.held_out, 0.0, 0.9)
        require_choice("policy on_nonfinite", self.on_nonfinite, get_args(OnNonfinite))
        _ = self.level_table  # read for its error

    @property
    def level_table(self) -> tuple[Level, ...]:
        """Return the levels; there are none if φ is validated by its final loss."""
        return parse_levels(self.levels)

    @property
    def updates(self) -> int:
        """Return the number of updates of φ in the whole run."""
        return self.epochs * self.updates_per_epoch

    @property
    def updates_per_epoch(self) -> int:
        """Return the number of updates of φ in an epoch."""
        return self.episodes * (self.steps // self.unroll)

    def check_horizon(self) -> None:
        """Raise a UserError unless the horizon is a multiple of the unroll."""
        # This is not checked at once, because the command line reads its words before it knows the
        # problem, and with the problem the horizon.
        if self.steps % self.unroll:
            segments = max(1, self.steps // self.unroll)
            raise UserError(
                f"the horizon of {self.steps} steps is not a multiple of the unroll of "
                f"{self.unroll}; try --steps {segments * self.unroll}"
            )
