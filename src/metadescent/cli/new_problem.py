"""`new-problem`: a file to start a problem of one's own from."""

import os
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from metadescent._errors import UserError
from metadescent.cli.command import Command

# The text is only read, so that the file that is written is linted and tested here.
_TEMPLATE = Path(__file__).with_name("template.py")
# Names that the file itself uses for something else.
_TAKEN = {"init", "jax", "jnp", "loss", "task", "FromFunction"}


@dataclass(frozen=True)
class NewProblem(Command):
    """Write a file to start a problem of one's own from; it trains as it is."""

    place = 3

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """Of the problem; the file is NAME.py in this folder."""

    def outputs(self) -> list[Path]:
        """Return the one file, unless it exists already."""
        path = Path(f"{self.name}.py")
        if os.path.lexists(path):
            raise UserError(f"{path} is already there and is left as it is; choose another name")
        return [path]

    def run(self) -> None:
        """Write the file, and print what to do with it."""
        from metadescent._files import write_atomically
        from metadescent.cli.console import output

        (path,) = self.outputs()
        write_atomically(path, starting_file(self.name))
        out = output()
        out.print(
            f"{path} holds a family of problems that trains as it is; make it your own. Then:"
        )
        out.print(f"    metadescent train {path}:{self.name} --out runs/{self.name}")
        out.print(f'    metadescent evaluate runs/{self.name} "{path}:{self.name}(seed=1)"')


def starting_file(name: str) -> str:
    """Return the text of a file that defines a problem of this name."""
    if not name.isidentifier() or iskeyword(name) or name in _TAKEN:
        raise UserError(
            f"{name!r} cannot name a problem in a Python file; try another name, of letters, "
            "digits and underscores, such as my_problem"
        )
    return _TEMPLATE.read_text(encoding="utf-8").replace("my_problem", name)
