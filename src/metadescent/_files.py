"""Files that are whole or not there, and one process at a time in a folder."""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metadescent._errors import UserError

LOCK = ".lock"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new.

    Raises:
        UserError: if the disk is full or the folder may not be written; the old file is untouched.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a" / "note.txt"
        ...     write_atomically(path, "whole")
        ...     path.read_text()
        'whole'
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(path, len(data), error) from error


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error


def is_file(path: Path) -> bool:
    """Tell whether there is a file at a path.

    Raises:
        UserError: if the system does not say, as in a folder that may not be read.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise read_error(path, error) from error


def check_writable(folder: Path) -> None:
    """Raise a UserError if a folder may not be written, or not be made; nothing is written.

    Example:
        >>> check_writable(Path("a/folder/to/come"))
    """
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise write_error(folder, 0, error) from error
    effective = os.access in os.supports_effective_ids
    if not there.is_dir():
        why = f"{there} is a file"
    elif not os.access(there, os.W_OK | os.X_OK, effective_ids=effective):
        why = "it may not be written" if there == folder else f"{there} may not be written"
    else:
        return
    raise UserError(f"cannot write {folder}: {why}; choose another place")


def read_error(path: Path, error: OSError) -> UserError:
    """Return the sentence for a read that failed."""
    return UserError(f"cannot read {path}: {error.strerror}; check the path")


def write_error(path: Path, size: int, error: OSError) -> UserError:
    """Return the sentence for a write that failed."""
    if error.errno == errno.ENOSPC:
        return UserError(
            f"the disk is full: {path} ({size:,} bytes) was not written and what was there before "
            "is kept; free some room or choose another place"
        )
    return UserError(f"cannot write {path}: {error.strerror}; choose another place")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write values as JSON, one a line, atomically."""
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))


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
