"""A meta-training run as a table of choices; imports nothing heavy, so that `--help` is quick."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

from metadescent._errors import UserError, require
from metadescent._text import short
from metadescent.meta.schedule import Form, Schedule

ESTIMATOR_OPTIONS = (
    *("problems", "coordinates", "second_derivatives", "form"),
    *("steps", "weigh_from"),
)
"""Choices that the estimator is given, where it has them and its specification leaves them open."""
STATED = ("optimizer", "steps", "unroll", "weigh_from", "second_derivatives")
"""Choices that the paper states: the defaults are its own, and so are those of its problems."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Schedule):
    """What a meta-training run is made of; each problem has defaults of its own that suit it.

    The defaults here are the paper's where it states them. A problem's own defaults are in its
    module's `NAMED`.

    Example:
        >>> Recipe(epochs=10).epochs
        10
    """

    optimizer: str = "lstm"
    """The optimizer and its options, such as "lstm(layers=(20, 20), p=10.0, scale=0.1)"."""
    init: str = ""
    """Optimizer to go on from, by its name, file or run folder, or hf://…; if empty, φ is drawn."""
    weigh_from: int = 0
    """Steps of an episode that do not count: w_t of equation 3 is 0 up to there, and 1 after."""
    problems: int = 1
    """Optimizees a meta-step."""
    meta_rate: float = 3e-3
    """Learning rate of the meta-optimizer, Adam."""
    decay: Literal["cosine", "constant"] = "cosine"
    """How the meta-rate goes down over the run."""
    hold: int = 0
    """Epochs before it begins to go down."""
    clip: float = 20.0
    """Largest norm of the meta-gradient; longer ones are scaled down to it."""
    estimator: str = "truncated"
    """Estimator of the meta-gradient, such as "pes(std=0.01)" or "imitation(rate=0.01)"."""
    coordinates: int = 0
    """Coordinates that a meta-gradient in two phases is estimated from, without bias; 0: all."""
    second_derivatives: bool = False
    """Differentiate through the optimizee's gradient too; the paper does not."""
    form: Form = "auto"
    """How the meta-gradient is computed: same values, other time and memory; auto: the quickest."""
    seed: int = 0
    """Seed of φ, of the problems and of the minibatches."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, before anything is computed or written."""
        super().__post_init__()
        require("problems", self.problems, 1)
        for name in ("coordinates", "weigh_from", "hold"):
            require(name, getattr(self, name), 0)
        require("seed", self.seed, 0, 2**32 - 1)  # what a key of JAX is made of
        require("meta_rate", self.meta_rate, 0.0, 1e3)
        require("clip", self.clip, 1e-12)  # by 0 every meta-gradient would be nothing

    def check_horizon(self) -> None:
        """Raise a UserError unless the unroll divides the horizon, and some step counts."""
        super().check_horizon()
        require("weigh_from", self.weigh_from, 0, self.steps - 1)

    @property
    def estimator_options(self) -> dict[str, Any]:
        """Return the choices that the estimator is given."""
        return {name: getattr(self, name) for name in ESTIMATOR_OPTIONS}


def recipe_from(choices: dict[str, Any], source: object) -> Recipe:
    """Return a recipe from its choices by name, as JSON has them; errors name `source`."""
    kinds = {field.name: field.type for field in fields(Recipe)}
    for name, value in choices.items():
        if name not in kinds:
            raise UserError(
                f"{source} has a choice {name!r} that no recipe has; try a newer metadescent"
            )
        if not is_a(value, kinds[name]):
            wanted = getattr(kinds[name], "__name__", str(kinds[name]))
            if get_origin(kinds[name]) is Literal:
                wanted = " or ".join(map(repr, get_args(kinds[name])))
            raise UserError(
                f"{name} in {source} is {short(value)} where {wanted} is expected; restore the "
                "file or begin in another folder"
            )
    # JSON writes 1.0 as it likes.
    exact: dict[str, Any] = {
        name: float(value) if kinds[name] is float else value for name, value in choices.items()
    }
    return Recipe(**exact)


def is_a(value: Any, kind: Any) -> bool:
    """Tell whether a value that JSON had is of the kind of a choice; a whole number is a float."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is float:
        # JSON may have whole numbers that no float holds.
        return type(value) is float or (type(value) is int and abs(value) < 1e308)
    # Exactly, as True is an int to `isinstance`.
    return type(value) is kind
