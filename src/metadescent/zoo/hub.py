"""Optimizers on the Hugging Face Hub: files are fetched into the cache, or committed.

Only this file imports `huggingface_hub`, and only for a name that begins with hf://. That library
finds the token, the cache and the Hub's address by its own variables.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from metadescent._errors import UserError
from metadescent.zoo.hub_errors import why
from metadescent.zoo.hub_names import COMMIT, HubName
from metadescent.zoo.tensors import read_tensors

MOST_BYTES = 10**9
"""The most bytes of an optimizer from the Hub; the package's own have a thousandth of that."""


class Fetched(NamedTuple):
    """A file from the Hub: its name with its commit, and its place in the cache."""

    name: str
    path: Path


def from_hub(text: str) -> Fetched:
    """Return the file that a name on the Hub stands for now; fetch it unless the cache has it.

    A name with a commit that the cache has needs no network.

    Raises:
        UserError: if the name is not of this form, no such file is visible with this token, the Hub
            cannot be reached, or the file is too large, damaged or not an optimizer.
    """
    name = HubName.of(text)
    hub, api = _library(name)
    if name.is_pinned and isinstance(path := _cached(hub, name), str):
        return Fetched(str(name), _checked(name, Path(path)))
    with _told(hub, api, name):
        revision = name.revision or None
        url = hub.hf_hub_url(name.repo, name.file, revision=revision, endpoint=api.endpoint)
        head = api.get_hf_file_metadata(url=url)
    if not COMMIT.fullmatch(head.commit_hash or ""):
        raise UserError(
            f"{api.endpoint} does not say which commit {name} is from; is it the address of a Hub?"
        )
    _check_size(name, head.size or 0)
    name = name._replace(revision=head.commit_hash)
    with _told(hub, api, name), _quiet(hub):
        path = api.hf_hub_download(name.repo, name.file, revision=name.revision)
    return Fetched(str(name), _checked(name, Path(path)))


def to_hub(name: HubName, files: Mapping[str, bytes], *, private: bool, message: str) -> str:
    """Write files to a repository in one commit; return the name of its optimizer at that commit.

    The repository is made if there is none.

    Raises:
        UserError: if the token may not write there, the Hub cannot be reached, a file is too large
            to be loaded again, or a repository that is to be private is already there and public.
    """
    for file, data in files.items():
        if len(data) > MOST_BYTES:
            raise UserError(
                f"{file} has {len(data):,} bytes and an optimizer on the Hub at most "
                f"{MOST_BYTES:,}; publish it elsewhere"
            )
    hub, api = _library(name)
    operations = [hub.CommitOperationAdd(file, data) for file, data in files.items()]
    with _told(hub, api, name, writes=True), _quiet(hub):
        # None and not False: an organization may make its repositories private by default.
        api.create_repo(name.repo, private=private or None, exist_ok=True)
        if private and not api.model_info(name.repo).private:
            raise UserError(
                f"{name} is there already and public; make it private in its settings on "
                f"{api.endpoint}, or leave out --private"
            )
        commit = api.create_commit(name.repo, operations, commit_message=message)
    return str(name._replace(revision=commit.oid))


def _library(name: HubName) -> tuple[Any, Any]:
    """Return `huggingface_hub` and its client, which finds the token by itself."""
    try:
        import huggingface_hub as hub
        import huggingface_hub.errors
        import huggingface_hub.utils  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{name} needs huggingface_hub ({error}); try pip install 'metadescent[hub]'"
        ) from error
    return hub, hub.HfApi(library_name="metadescent", library_version=version("metadescent"))


def _cached(hub: Any, name: HubName) -> Any:
    return hub.try_to_load_from_cache(name.repo, name.file, revision=name.revision)


def _check_size(name: HubName, size: int) -> None:
    if size > MOST_BYTES:
        raise UserError(
            f"{name} has {size:,} bytes and an optimizer has at most {MOST_BYTES:,}; download it "
            "and name the file if it is one"
        )


def _checked(name: HubName, path: Path) -> Path:
    """Return the path of a file, if it is whole and one of ours."""
    _check_size(name, path.stat().st_size)
    try:
        read_tensors(path)
    except UserError as error:
        wrong = str(error).rpartition("; ")[0].replace(str(path), str(name))
        raise UserError(
            f"{wrong}; delete {path.resolve()} to fetch it again, or tell whoever pushed it"
        ) from error
    return path


@contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """Show no progress bars, as the files have only some kilobytes."""
    said = hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
    if said or hub.utils.are_progress_bars_disabled():
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()


@contextmanager
def _told(hub: Any, api: Any, name: HubName, writes: bool = False) -> Iterator[None]:
    """Say in a sentence why the Hub did not do what was asked."""
    try:
        yield
    except UserError:
        raise
    # Depending on its version, the library raises errors of two HTTP libraries, and its own.
    except Exception as error:
        raise UserError(why(hub, api.endpoint, name, error, writes)) from error
