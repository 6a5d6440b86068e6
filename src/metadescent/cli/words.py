"""Arguments of several commands: their names, how they are read, and their help."""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from metadescent._errors import UserError
from metadescent._files import STDOUT
from metadescent._text import nearest
from metadescent.descent.baselines import BASELINES, STANDARD
from metadescent.figures import output
from metadescent.runs.folder import CONFIG, config_here
from metadescent.runs.reading import files_named
from metadescent.zoo.hub_names import HubName, on_hub

DataDir = Annotated[
    Path | None,
    arg(metavar="PATH", help="Folder of the datasets; else $METADESCENT_DATA, or the cache."),
]
Workers = Annotated[int, arg(help="Processes of this machine that share independent runs.")]
Scheduler = Annotated[
    str | None,
    arg(metavar="ADDRESS", help="Dask's, whose cluster shares independent runs instead."),
]
File = Annotated[Path | None, arg(metavar="PATH")]
PLACES = ("--out", "--json", "--plot")
NAMING = ("optimizer", "estimator", "init")
"""Choices of a recipe that may name files."""
DATA = ("mnist", "cifar10", "cifar-10-batches-bin", "nets", "style")
"""The files and folders in a data folder."""
Style = Annotated[
    output.Style,
    arg(help="Colours of figures: dark is for dark pages, and transparent ones have no ground."),
]
Names = Annotated[str, arg(metavar="NAME,…")]
Run = Positional[Annotated[Path, arg(metavar="RUN")]]
Problem = Positional[Annotated[str, arg(metavar="PROBLEM")]]
Optimizer = Positional[Annotated[str, arg(metavar="OPTIMIZER")]]
Trust = Annotated[
    bool, arg(help="Run the code that the file of an optimizer of a class of one's own names.")
]

PAPERS = ",".join(STANDARD)
"""The paper's hand-designed optimizers, as a list for `--against`."""
ALL = "all"
"""The default of `--against`: the paper's and today's optimizers that suit the problem."""


def places_in(words: Sequence[str]) -> list[str]:
    """Return the words, with the standard output for `-` where a place to write is named."""
    # A flag's value may be in the same word or in the next.
    apart = [
        part
        for word in words
        for part in (
            # --resume takes no value, but reads as if it did when a folder follows.
            word.split("=", 1)
            if word.startswith(tuple(f"{p}=" for p in (*PLACES, "--resume")))
            else [word]
        )
    ]
    for i, (flag, value) in enumerate(itertools.pairwise(apart)):
        if flag in PLACES and not value:
            raise UserError(f"{flag} is empty and must name a place to write; is a variable unset?")
        if flag in PLACES and value == "-":
            apart[i + 1] = str(STDOUT)
    return apart


def read_by(*names: str | Path, data_dir: Path | None = None) -> list[Path]:
    """Return the files that are read for optimizers, run folders and problems of these names.

    These include the files that the runs' configurations name, and the data sets of the folder.
    """
    from metadescent.problems.data import store

    homes = [store.data_dir(data_dir)]
    files = [file for name in names for file in files_named(str(name))]
    for folder in dict.fromkeys(file.parent for file in files if file.name == CONFIG):
        with suppress(UserError):
            config = config_here(folder)
            chosen = [config["problem"], *(config["recipe"].get(name) for name in NAMING)]
            files += [file for name in chosen for file in files_named(str(name))]
            homes += map(Path, filter(None, [(config.get("origin") or {}).get("data_dir")]))
    return [*files, *(f for home in homes for d in DATA for f in (home / d).rglob("*"))]


def name_of(optimizer: str) -> str:
    """Return a learned optimizer's name in results; never that of a hand-designed one."""
    place = HubName.of(optimizer).label if on_hub(optimizer) else optimizer
    name = Path(place).name.removesuffix(".safetensors")
    return f"learned {name}" if name in BASELINES else name


def check_baseline(name: str) -> None:
    """Raise a UserError unless a hand-designed optimizer has this name."""
    if name not in BASELINES:
        raise UserError(f"there is no baseline {name!r}; {nearest(name, BASELINES)}")
