"""A meta-training run as a table of choices; imports nothing heavy, so that `--help` is quick."""

from dataclasses import dataclass
from typing import Literal

from metadescent._errors import require

Form = Literal["auto", "two-phase", "recompute", "segments", "plain"]
OnNonfinite = Literal["stop", "skip", "restart-from-best"]


@dataclass(frozen=True)
class Recipe:
    """What a meta-training run is made of; each problem has defaults of its own that suit it.

    The defaults here are the paper's where it states them. Where a problem's differ, they stand
    beside it, in its module's `NAMED`.

    Example:
        >>> Recipe(epochs=10).epochs
        10
    """

    optimizer: str = "lstm"
    """The optimizer and its options, such as "lstm(layers=(20, 20), p=10.0, scale=0.1)"."""
    init: str = ""
    """Optimizer to go on from: a pretrained one, its file or a run folder; if empty, φ is drawn."""
    steps: int = 100
    """Horizon: optimization steps an episode."""
    unroll: int = 20
    """Steps between two updates of φ."""
    weigh_from: int = 0
    """Steps of an episode that do not count: w_t of equation 3 is 0 up to there, and 1 after."""
    problems: int = 1
    """Optimizees a meta-step."""
    epochs: int = 100
    """Validations: the best φ at the end of an epoch is kept."""
    episodes: int = 20
    """Episodes an epoch."""
    meta_rate: float = 3e-3
    """Learning rate of the meta-optimizer, Adam."""
    decay: Literal["cosine", "constant"] = "cosine"
    """How the meta-rate goes down over the run."""
    clip: float = 20.0
    """Largest norm of the meta-gradient; longer ones are scaled down to it."""
    average: float = 0.0
    """Decay, per meta-step, of the moving average of φ that is validated and kept; 0: φ itself."""
    estimator: str = "truncated"
    """Estimator of the meta-gradient, such as "pes(std=0.01)" or "imitation(rate=0.01)"."""
    coordinates: int = 0
    """Coordinates that a meta-gradient in two phases is estimated from, without bias; 0: all."""
    second_derivatives: bool = False
    """Differentiate through the optimizee's gradient too; the paper does not."""
    form: Form = "auto"
    """How the meta-gradient is computed: same values, other time and memory; auto: the quickest."""
    validation_problems: int = 64
    """Problems that each validation averages over."""
    validation_steps: int = 0
    """Steps of each validation; 0: the horizon."""
    patience: int = 0
    """Stop after this many epochs without a better validation loss; 0: never."""
    least_epochs: int = 0
    """Do not stop by impatience before this many epochs."""
    on_nonfinite: OnNonfinite = "stop"
    """At a loss or meta-gradient that is not finite: stop, leave that update of φ out, or begin the
    next epoch with the best φ."""
    seed: int = 0
    """Seed of φ, of the problems and of the minibatches."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, before anything is computed or written."""
        for name in ("steps", "unroll", "problems", "epochs", "episodes", "validation_problems"):
            require(name, getattr(self, name), 1)
        require("coordinates", self.coordinates, 0)
        # Whether it is within the horizon shows in `weights_of`: `train` reads its words before it
        # knows the problem, and with that the horizon.
        require("weigh_from", self.weigh_from, 0)
        for name in ("validation_steps", "patience", "least_epochs"):
            require(name, getattr(self, name), 0)
        require("seed", self.seed, 0, 2**32 - 1)
        require("average", self.average, 0.0, 0.999999)
        require("meta_rate", self.meta_rate, 0.0, 1e3)
        require("clip", self.clip, 1e-12)
