"""The paper's experiments: each reproduces a figure and judges what the paper claims about it.

A new experiment is one new file here, found by discovery. Its module names the figure in `FIGURE`,
its learned optimizers in `OPTIMIZERS` and its number of progress reports in `UNITS`, and has a
function

    reproduce(budget, *, load, data_dir, seed, cache, progress) -> Reproduction

that takes its learned optimizers by name from `load`, so that it never knows whether they are
pretrained or have just been meta-trained. A claim is measured, never assumed: it may fail. What
experiments share is in `panels` (how they run), `judge` (how claims are judged) and `appendix_b`
(whose updates its figures show). Figures that differ in their number alone share a module, which
has an object like such a module for each of them in `EXPERIMENTS`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metadescent._errors import UserError
from metadescent._text import nearest
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning_cache import Progress
from metadescent.optimizers.base import LearnedOptimizer

if TYPE_CHECKING:
    import matplotlib.figure

Load = Callable[[str], LearnedOptimizer]
"""Returns the optimizer of a name, such as "mnist-lstm": pretrained, or meta-trained anew."""


class Claim(NamedTuple):
    """Something that the paper says of a figure, and the two figures that decide whether it holds.

    `text` quotes the paper and says what `measured` and `reference` are and when the claim holds;
    `section` is where in the paper it stands.
    """

    text: str
    section: str
    measured: float
    reference: float
    holds: bool


class Reproduction(NamedTuple):
    """A figure of the paper, measured anew: its panels, and the claims judged on them.

    `plot` draws the figure; nothing imports Matplotlib before it is called. `measured` holds what
    is behind a figure that compares no learning curves, as JSON has it.
    """

    figure: str
    panels: Mapping[str, Comparison]
    claims: list[Claim]
    plot: "Callable[[], matplotlib.figure.Figure]"
    measured: Mapping[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the schema of `metadescent reproduce --json`."""
        return {
            "figure": self.figure,
            "panels": {name: comparison.to_json() for name, comparison in self.panels.items()},
            "claims": [claim._asdict() for claim in self.claims],
        } | ({"measured": dict(self.measured)} if self.measured else {})


class Seeds(NamedTuple):
    """Fresh problems that results are averaged over, and those that baselines are tuned on."""

    report: int
    tune: int


class Budget(NamedTuple):
    """How much an experiment may compute.

    `functions` are the seeds where f is a small closed-form function, `networks` those where f is a
    neural network, `sweeps` those where many networks are gone through, some of them large,
    `convolutions` those where f is a convolutional network, `pictures` those where f is neural art;
    `large_pictures`, `huge_pictures` and `vast_pictures` are for those whose gradient takes some, a
    dozen and some dozen times as long. `horizon` is the part of the paper's number of steps that is
    run.
    """

    functions: Seeds
    networks: Seeds
    sweeps: Seeds
    convolutions: Seeds
    pictures: Seeds
    large_pictures: Seeds
    huge_pictures: Seeds
    vast_pictures: Seeds
    horizon: float = 1.0

    def steps(self, of: int) -> int:
        """Return how many of the paper's steps to run, an even number.

        Example:
            >>> BUDGETS["smoke"].steps(100), BUDGETS["paper"].steps(100)
            (10, 100)
        """
        return max(2, 2 * round(of * self.horizon / 2))


BUDGETS = {
    "smoke": Budget(
        functions=Seeds(8, 32),
        networks=Seeds(2, 2),
        sweeps=Seeds(2, 2),
        convolutions=Seeds(2, 1),
        pictures=Seeds(2, 1),
        large_pictures=Seeds(2, 1),
        huge_pictures=Seeds(1, 1),
        vast_pictures=Seeds(1, 1),
        horizon=0.1,
    ),
    "cpu": Budget(
        functions=Seeds(1024, 4096),
        networks=Seeds(64, 32),
        sweeps=Seeds(32, 16),
        convolutions=Seeds(8, 2),
        pictures=Seeds(100, 20),
        large_pictures=Seeds(16, 8),
        huge_pictures=Seeds(4, 2),
        vast_pictures=Seeds(2, 1),
    ),
    "paper": Budget(
        functions=Seeds(4096, 16384),
        networks=Seeds(256, 64),
        sweeps=Seeds(96, 64),
        convolutions=Seeds(32, 8),
        pictures=Seeds(100, 20),
        large_pictures=Seeds(100, 20),
        huge_pictures=Seeds(20, 8),
        vast_pictures=Seeds(8, 4),
    ),
}
"""smoke: to see that everything runs; cpu: minutes; paper: narrow intervals.

Functions are cheap, and baselines are tuned on more of them than they report on: a rate that makes
one function in a thousand diverge must be seen to do so before it is chosen, or its mean is that of
the one function.
"""


def budget_of(name: str) -> Budget:
    """Return the budget of a name.

    Raises:
        UserError: if there is none.
    """
    return BUDGETS[_known(name, BUDGETS, "budget")]


def experiments() -> dict[str, Any]:
    """Return every experiment by the figure that it reproduces: a module, or what one has instead.

    Example:
        >>> "figure4" in experiments()
        True
    """
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for one in getattr(module, "EXPERIMENTS", [module]):
            if hasattr(one, "FIGURE"):
                found[one.FIGURE] = one
    return found


def experiment(figure: str) -> Any:
    """Return the experiment that reproduces a figure.

    Raises:
        UserError: if there is none.

    Example:
        >>> experiment("figure4").FIGURE
        'figure4'
    """
    known = experiments()
    return known[_known(figure, known, "experiment")]


def units(figure: str) -> int:
    """Return how many times `reproduce` reports progress.

    Example:
        >>> units("figure4")
        36
    """
    return experiment(figure).UNITS


def reproduce(
    figure: str,
    *,
    load: Load,
    budget: str = "cpu",
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Run the experiment that reproduces a figure, and judge what the paper claims about it.

    Arguments:
        figure: such as "figure4".
        load: returns the optimizer of a name; it is asked once for each.
        budget: "smoke", "cpu" or "paper".
        data_dir: the folder that holds the data, if not the usual one.
        seed: draws the problems, and those that baselines are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is being done, `units` times in all.

    Raises:
        UserError: if there is no such figure or budget, or data is missing.
    """
    return experiment(figure).reproduce(
        budget, load=load, data_dir=data_dir, seed=seed, cache=cache, progress=progress
    )


def _known(name: str, known: Collection[str], kind: str) -> str:
    if name not in known:
        raise UserError(f"there is no {kind} named {name!r}; {nearest(name, known)}")
    return name
