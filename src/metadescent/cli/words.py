"""Arguments that several commands have: how they are called, read and explained."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from metadescent._errors import UserError
from metadescent._text import nearest
from metadescent.descent.baselines import BASELINES, STANDARD

DataDir = Annotated[
    Path | None, arg(metavar="PATH", help="Folder of the datasets; else $METADESCENT_DATA.")
]
Workers = Annotated[int, arg(help="Processes of this machine that share independent runs.")]
Scheduler = Annotated[
    str | None,
    arg(metavar="ADDRESS", help="Dask's, whose cluster shares independent runs instead."),
]
File = Annotated[Path | None, arg(metavar="PATH")]
Names = Annotated[str, arg(metavar="NAME,…")]
Run = Positional[Annotated[Path, arg(metavar="RUN")]]
Problem = Positional[Annotated[str, arg(metavar="PROBLEM")]]
Optimizer = Positional[Annotated[str, arg(metavar="OPTIMIZER")]]
Trust = Annotated[
    bool, arg(help="Run the code that the file of an optimizer of a class of one's own names.")
]

# What `--against` is by default: the paper's baselines.
PAPERS = ",".join(STANDARD)


def check_baseline(name: str) -> None:
    """Raise a UserError unless a hand-designed optimizer has this name."""
    if name not in BASELINES:
        raise UserError(f"there is no baseline {name!r}; {nearest(name, BASELINES)}")
