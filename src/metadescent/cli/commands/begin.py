"""`new-problem`: a file to start a problem of one's own from."""

from keyword import iskeyword
from pathlib import Path

from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.console import console

# Its text is read and not imported: what is written is what is linted and tested here.
_TEMPLATE = Path(__file__).parents[1] / "template.py"


@run.register
def _new_problem(command: arguments.NewProblem) -> None:
    name, path = command.name, Path(f"{command.name}.py")
    if path.exists():
        raise UserError(f"{path} is already there and is left as it is; choose another name")
    write_atomically(path, starting_file(name))
    out = console()
    out.print(f"{path} holds a family of problems that trains as it is; make it your own. Then:")
    out.print(f"    metadescent train {path}:{name} --out runs/{name}")
    out.print(f'    metadescent evaluate runs/{name} "{path}:{name}(seed=1)"')


def starting_file(name: str) -> str:
    """Return the text of a file that defines a problem of this name.

    Raises:
        UserError: if it is no name that Python would take.

    Example:
        >>> "def blur(" in starting_file("blur")
        True
    """
    taken = {"init", "jax", "jnp", "loss", "task", "FromFunction"}
    if not name.isidentifier() or iskeyword(name) or name in taken:
        raise UserError(
            f"{name!r} cannot name a problem in a Python file; try another name, of letters, "
            "digits and underscores, such as my_problem"
        )
    return _TEMPLATE.read_text().replace("my_problem", name)
