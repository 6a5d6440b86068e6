"""Names of optimizers on the Hugging Face Hub, `hf://user/repo/file.safetensors@revision`."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from metadescent._errors import UserError

PREFIX = "hf://"
FILE = "optimizer.safetensors"
"""The file of a name that does not give one."""
LONGEST = 96
"""The most characters of user and repository, with the slash, that the Hub allows."""
COMMIT = re.compile(r"[0-9a-f]{40}")
# The Hub's own rule: letters and digits, with single signs between them.
_PART = re.compile(r"(?!.*(--|\.\.))\w([\w.-]*\w)?(?<!\.git)", re.ASCII)
# Every filesystem has to allow the file's name, as the cache keeps it.
_FOLDER = re.compile(r'(?!\.+$)[^\\:*?"<>|\x00-\x1f]+')
# The names that Git allows for a branch or a tag, without quotes.
_REVISION = re.compile(r'(?!.*(\.\.|//|@\{|/$))[^/\s~^:?*\[\\"\x00-\x1f][^\s~^:?*\[\\"\x00-\x1f]*')
_HOW = "write hf://user/repo, hf://user/repo@revision or hf://user/repo/file.safetensors@revision"


class HubName(NamedTuple):
    """A file of a repository at a revision; without one, at the newest commit of its main branch.

    Example:
        >>> HubName.of("hf://ada/lstm@v1")
        HubName(repo='ada/lstm', file='optimizer.safetensors', revision='v1')
        >>> str(HubName("ada/lstm", "old/first.safetensors", "v1"))
        'hf://ada/lstm/old/first.safetensors@v1'
    """

    repo: str
    file: str = FILE
    revision: str = ""

    def __str__(self) -> str:
        file = "" if self.file == FILE else f"/{self.file}"
        return f"{PREFIX}{self.repo}{file}" + (f"@{self.revision}" if self.revision else "")

    @property
    def is_pinned(self) -> bool:
        """Tell whether the revision is a commit; then the name always stands for the same file."""
        return COMMIT.fullmatch(self.revision) is not None

    @property
    def label(self) -> str:
        """Return a short name: that of the repository, or the file's if it has another name."""
        return (self.repo if self.file == FILE else self.file).rpartition("/")[2]

    @classmethod
    def of(cls, text: str) -> "HubName":
        """Read a name; raise a UserError that says what is wrong with it."""
        place, at, revision = text.removeprefix(PREFIX).partition("@")
        user, repo, *folders = [*place.split("/"), ""] if "/" not in place else place.split("/")
        file, whole = "/".join(folders) or FILE, f"{user}/{repo}"
        if not (_PART.fullmatch(user) and _PART.fullmatch(repo)) or len(whole) > LONGEST:
            raise UserError(f"{text!r} names no user and repository of the Hub; {_HOW}")
        if revision.endswith(".safetensors"):
            raise UserError(f"{text!r} has its file behind the revision; {_HOW}")
        if not (file.endswith(".safetensors") and all(map(_FOLDER.fullmatch, file.split("/")))):
            raise UserError(f"{text!r} names {file!r}, which is no .safetensors file; {_HOW}")
        if at and not _REVISION.fullmatch(revision):
            raise UserError(f"{text!r} has no revision behind its @; {_HOW}")
        return cls(whole, file, revision)


def repository_of(text: str) -> HubName:
    """Read the name of a repository to write to, where the commit does not exist yet."""
    if not on_hub(text):
        raise UserError(f"{text!r} is no repository of the Hub; write hf://user/repo")
    name = HubName.of(text)
    if name.revision or name.file != FILE:
        raise UserError(
            f"{text!r} names more than a repository, and {FILE} goes into a new commit of its main "
            f"branch; try hf://{name.repo}"
        )
    return name


def as_path(place: str | Path) -> str | None:
    """Return the name on the Hub that a path was made from, which lost a slash, or None."""
    first, *parts = Path(place).parts or ("",)
    return PREFIX + "/".join(parts) if f"{first}//" == PREFIX else None


def on_hub(name: Any) -> bool:
    """Tell whether a name is that of an optimizer on the Hub."""
    return isinstance(name, str) and name.startswith(PREFIX)
