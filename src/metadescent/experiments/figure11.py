"""Figure 11: the update of one coordinate as a function of its gradient, over 32 steps.

See `update_functions`, which has what figures 11 to 13 share.
"""

from pathlib import Path
from typing import Any

from metadescent.compare import Progress
from metadescent.experiments import Load, Reproduction, appendix_b, update_functions

FIGURE = "figure11"
UNITS = appendix_b.UNITS


def __getattr__(name: str) -> Any:
    # Asked for, not at import: which optimizer it is depends on what lies in the zoo.
    if name == "OPTIMIZERS":
        return (appendix_b.subject(),)
    raise AttributeError(name)


def reproduce(
    budget: str = "cpu",
    *,
    load: Load,
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Vary gradients along a trajectory of the LSTM and judge what the paper sees in its updates.

    Arguments:
        budget: "smoke", "cpu" or "paper".
        load: returns the optimizer of `appendix_b.subject`; it is asked once.
        data_dir: the folder that holds the data, if not the usual one.
        seed: draws the trajectory, the coordinates, and the problems that rates are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is going on.

    Raises:
        UserError: if there is no such budget, or data is missing.

    Source: appendix B, figure 11.
    """
    return update_functions.reproduce(
        11, budget, load=load, data_dir=data_dir, seed=seed, cache=cache, progress=progress
    )
