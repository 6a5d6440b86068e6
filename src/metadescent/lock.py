"""One process at a time in a folder: a lock that dies with its owner."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from metadescent.errors import UserError
from metadescent.files import write_error

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where there is none, until the context ends.

    The system holds the lock for the process, and lets go of it however the process ends. The file
    stays: it has the number of the process that held it last, which says nothing of who does.

    Raises:
        UserError: if another process, or this one, holds it; or if the folder may not be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['.lock']
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{folder} is in use by {_owner(path)}; wait until that ends or choose another folder"
        ) from error
    except OSError as error:
        raise write_error(path, 0, error) from error
    try:
        # For the sentence above only: on a full disk the number is left out.
        with suppress(OSError):
            path.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _owner(path: Path) -> str:
    try:
        return f"process {int(path.read_text())}"
    except (OSError, ValueError):
        return "another process"
