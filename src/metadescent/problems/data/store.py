"""Where data files lie on disk, how a missing one is downloaded, how a damaged one is reported."""

import gzip
import hashlib
import lzma
import os
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any, NamedTuple

from metadescent._errors import UserError, require_kind
from metadescent._files import is_file

BESIDE = Path(os.path.abspath(os.path.join(__file__, *[".."] * 6, "shared", "data")))
"""The data folder beside the repository, if the package is used from one; never written to.

It is compared by identity: a user may name a folder of the same path, and that one may be filled.
"""
_COMPRESSIONS = ("", ".gz", ".xz")
# The most bytes that are unpacked from a file, which may itself be a thousandth as long. MNIST's
# images have a twentieth of this.
MOST_BYTES = 1 << 30
_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


class Remote(NamedTuple):
    """One published file: its path under the data folder, its public addresses, its SHA-256.

    `path` is relative and uses forward slashes; `urls` are tried in order; `sha256` is in
    hexadecimal digits. `unpacked` is the SHA-256 of a packed file's unpacked bytes, if it is known.

    Example:
        >>> Remote("letters/a.gz", ("https://example.org/a.gz",), "0" * 64).path
        'letters/a.gz'
    """

    path: str
    urls: tuple[str, ...]
    sha256: str
    unpacked: str = ""


def data_dir(explicit: Path | str | None = None) -> Path:
    """Return the folder that holds the data sets; it need not exist yet.

    It is `explicit` if given, else the environment variable `METADESCENT_DATA` if set and not
    empty, else `shared/data` beside the repository if that exists, else the platform's cache
    folder. The variable is read at each call. Files that are missing beside the repository are
    downloaded to the cache folder, because another project may have its data beside the repository.

    Example:
        >>> data_dir("my-data").name
        'my-data'
    """
    hint = "a folder; try 'data', or None for the usual one"
    require_kind("data_dir", explicit, (str, Path, NoneType), hint)
    chosen = explicit if explicit is not None else os.environ.get("METADESCENT_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if BESIDE.is_dir():
        return BESIDE
    return _cache()


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("metadescent"))


def fetch(remote: Remote, directory: Path | str) -> Path:
    """Return the place of one file under `directory`, downloaded first if it is missing.

    The file is looked for at its path and then directly in `directory`, in each place first
    uncompressed, then as `.gz` and as `.xz`. An uncompressed file may be the user's own, and is
    taken as it is unless it has the published name. A packed file must have the published checksum,
    or the published checksum of the unpacked bytes. If the latter is not known, a packed file with
    another name than the published one is taken as it is. A download goes to the file's path, and
    appears there only when it is complete and its checksum is right.

    Raises:
        UserError: if a file's checksum is wrong, or if the file is missing and none of its public
            addresses could be reached.

    Example:
        >>> import tempfile
        >>> remote = Remote("letters/a-to-z.gz", ("https://example.org/a-to-z.gz",), "0" * 64)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a-to-z").write_text("abc")
        ...     fetch(remote, folder).name
        'a-to-z'
    """
    require_kind("remote", remote, Remote, "a metadescent.problems.data.Remote; see its example")
    require_kind(
        "directory", directory, (str, Path), "a folder; try metadescent.problems.data.data_dir()"
    )
    home = Path(directory) / remote.path
    path = _find(home, Path(directory))
    if path is None:
        return fetch(remote, _cache()) if directory is BESIDE else _download(remote, home)
    _check(path, remote)
    return path


def find(remote: Remote, directory: Path) -> Path:
    """Return the place of a file whose parts are checked when they are read."""
    home = directory / remote.path
    if path := _find(home, directory):
        return path
    return find(remote, _cache()) if directory is BESIDE else _download(remote, home)


def unpacking(path: Path) -> BufferedIOBase:
    """Open a file, plain or compressed with gzip or xz, whatever its name, to be read unpacked."""
    with path.open("rb") as stream:
        start = stream.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start == b"\xfd7zXZ\x00":
        return lzma.open(path)
    return path.open("rb")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors while a file, packed or not, is read into a UserError."""
    try:
        yield
    except _DAMAGE as error:  # first, because gzip's is an OSError too
        # tarfile adds one line for each way to unpack that failed.
        reason = str(error).partition("\n")[0].rstrip(":") or type(error).__name__
        raise UserError(
            f"{path} is damaged ({reason}): delete it so that it is fetched again."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _find(home: Path, directory: Path) -> Path | None:
    bare = home.with_suffix("") if home.suffix in _COMPRESSIONS else home
    # The plain file comes first: a user who unpacks a file may keep the packed one.
    names = [bare.name + suffix for suffix in _COMPRESSIONS]
    places = (folder / name for folder in (home.parent, directory) for name in names)
    return next((place for place in places if is_file(place)), None)


def _check(path: Path, remote: Remote) -> None:
    """Refuse a file that has a published name, however packed, but not the published bytes."""
    published = PurePosixPath(remote.path)
    packed = _COMPRESSIONS[1:]
    sha256, expected, what = "", remote.sha256, "has"
    if path.name == published.name:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    unpacked = remote.unpacked if published.suffix in packed else remote.sha256
    if sha256 != expected and path.suffix in packed and unpacked:
        with reading(path), unpacking(path) as stream:
            sha256, expected, what = _digest(stream), unpacked, "unpacks to bytes of"
    if sha256 and sha256 != expected:
        hint = "unpack it if it is meant, or " if path.suffix in packed else ""
        raise UserError(
            f"{path} {what} SHA-256 {sha256} where {expected} is expected: "
            f"{hint}delete it so that it is fetched again."
        )


def _digest(stream: BufferedIOBase) -> str:
    digest, size = hashlib.sha256(), 0
    while (chunk := stream.read(1 << 20)) and size <= MOST_BYTES:
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest()


def _download(remote: Remote, home: Path) -> Path:
    import pooch  # here, because files on the disk need neither it nor requests

    failures = []
    for url in remote.urls:
        try:
            with _progress_bar(home.name) as bar:
                downloader: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16)
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{remote.sha256}",
                    fname=home.name,
                    path=home.parent,
                    downloader=downloader,
                )
        except (OSError, ValueError) as error:
            failures.append(f"{url} ({_reason(error)})")
            continue
        # pooch leaves the file readable by its owner alone, and a data folder is often shared.
        with suppress(OSError):
            home.chmod(0o644)
        return home
    raise UserError(
        f"{home.name} is missing and could not be downloaded from {' or '.join(failures)}: put it "
        f"at {home.absolute()}, or set METADESCENT_DATA or --data-dir to a folder that has it."
    )


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "wrong checksum"
    return getattr(error, "strerror", None) or type(error).__name__


@contextmanager
def _progress_bar(name: str) -> Iterator[Any]:
    """Yield a progress bar for pooch, or False if there is no terminal."""
    if not sys.stderr.isatty():
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bar(progress, progress.add_task(name, visible=False))


class _Bar:
    """The interface of pooch's progress bars: `total`, `update`, `reset` and `close`."""

    total: int = 0

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task

    def update(self, size: int) -> None:
        # The bar appears with the first byte, so an address that cannot be reached shows none.
        total = self.total or None
        self._progress.update(self._task, total=total, advance=size, visible=True)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        pass  # The bar's context ends it, also after a failure.
