"""`push`: an optimizer's file and its card, as one commit on the Hugging Face Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from metadescent.cli.command import Command
from metadescent.cli.words import Optimizer, name_of

if TYPE_CHECKING:
    from metadescent.zoo.hub_card import Contents


@dataclass(frozen=True)
class Push(Command):
    """Publish an optimizer on the Hugging Face Hub; print the line that loads it from there."""

    place = 14

    optimizer: Optimizer
    """Pretrained optimizer, its file, a run folder, or hf://user/repo."""
    repository: Positional[Annotated[str, arg(metavar="hf://USER/REPO")]]
    """Repository to write to, made if there is none; the token is that of hf auth login."""
    private: bool = False
    """Make the repository private; one that is there already and public is refused."""
    message: Annotated[str, arg(metavar="TEXT")] = ""
    """Message of the commit; if empty, what is pushed, and by which version."""

    def __post_init__(self) -> None:
        """Refuse a name that is not a repository's."""
        from metadescent.zoo.hub_names import repository_of

        repository_of(self.repository)

    def run(self) -> None:
        """Check the file, write its card, push both, and print the line."""
        from importlib.metadata import version

        from metadescent import zoo
        from metadescent._files import read_bytes
        from metadescent.cli.console import output
        from metadescent.zoo.cards import facts, read_card
        from metadescent.zoo.hub import to_hub
        from metadescent.zoo.hub_card import described, readme
        from metadescent.zoo.hub_names import FILE, repository_of

        to, source = repository_of(self.repository), str(zoo.pinned(self.optimizer))
        path = zoo.path(source)
        data, card = read_bytes(path), read_card(path)
        contents = _contents(path, data, card["optimizer"])
        if source in zoo.names():
            # The heading is left out, because the repository may have another name.
            about, licence = zoo.card(source).partition("\n")[2], facts(source).licence
        else:
            about, licence = described(card), card.get("license") or card.get("licence") or ""
        text = readme(to, contents, about, str(licence).partition(",")[0])
        pushed = to_hub(
            to,
            {FILE: data, "README.md": text.encode()},
            private=self.private,
            message=self.message
            or f"{name_of(self.optimizer)}, by metadescent {version('metadescent')}",
        )
        output().print(contents.loaded(pushed), soft_wrap=True)


def _contents(path: Path, data: bytes, spec: str) -> "Contents":
    """Return the facts about a file, having checked that it is whole."""
    import hashlib
    import math

    from metadescent.zoo.hub_card import Contents
    from metadescent.zoo.tensors import read_tensors

    leaves, _ = read_tensors(path)
    return Contents(
        spec=spec,
        parameters=sum(math.prod(leaf.shape) for leaf in leaves.values()),
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        in_pytorch=_is_in_pytorch(path),
    )


def _is_in_pytorch(path: Path) -> bool:
    """Tell whether PyTorch has the rule, too; without PyTorch the answer is no."""
    from importlib.util import find_spec

    from metadescent._errors import UserError

    if find_spec("torch") is None:
        return False
    from metadescent.torch.partitioned import read_groups

    try:
        return bool(read_groups(path))
    except UserError:
        return False
