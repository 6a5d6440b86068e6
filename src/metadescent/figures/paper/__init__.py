"""The paper's experiments: each reproduces a figure and judges what the paper claims about it.

A new experiment is one new file here, found by discovery (of its list `EXPERIMENTS`), and its
criteria in `criteria`.

    experiment   what an experiment is, and `reproduce`, which runs any of them
    panels       experiments that are panels of learning curves: what they run and how they look
    criteria     when each claim holds, as data that `criterion` explains
    records      the values of every run, by which claims are judged
    claims       how claims are judged; `wording` puts them into words
    budgets      how much is computed
    kept         searches for rates that come with the package
    costs        what a step costs
    appendix_b   the optimizers whose updates figures 10 to 13 show
    networks     the networks of figures 5, 6 and `transfer`
    styling      the problems of figures 8 and 9
"""

import importlib
import pkgutil
from types import ModuleType

from metadescent._names import look_up
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.experiment import Experiment


def _modules() -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def experiments() -> dict[str, Experiment]:
    """Return every experiment by the figure that it reproduces, in the paper's order."""
    listed = [
        experiment for module in _modules() for experiment in getattr(module, "EXPERIMENTS", [])
    ]
    by_figure = {experiment.figure: experiment for experiment in listed}
    # Experiments without criteria come last.
    return {name: by_figure[name] for name in {**CRITERIA, **by_figure} if name in by_figure}


def about(figure: str) -> str:
    """Return what a figure shows, in one line."""
    experiment = experiment_of(figure)
    (module,) = [m for m in _modules() if experiment in getattr(m, "EXPERIMENTS", [])]
    return (module.__doc__ or "").partition("\n")[0]


def experiment_of(figure: str) -> Experiment:
    """Return the experiment that reproduces a figure; raise a UserError if there is none."""
    return look_up(figure, experiments(), "experiment")
