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
    """Write a file so that a crash at any moment leaves the old content or the new."""
    data = content.encode() if isinstance(content, str) else content
    # In the same folder, as only within a file system is a rename one step.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                # On the disk before it takes the name.
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(path, len(data), error) from error


def read_bytes(path: Path) -> bytes:
    """Return what a file holds."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error


def is_file(path: Path) -> bool:
    """Tell whether there is a file at a path."""
    try:
        return path.is_file()
    # In a folder that may not be read the system does not say.
    except OSError as error:
        raise read_error(path, error) from error


def check_writable(folder: Path) -> None:
    """Raise a UserError if a folder may not be written, or not be made; nothing is written."""
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise write_error(folder, 0, error) from error
    # Those of the user that the process acts for, where the system can tell.
    effective = os.access in os.supports_effective_ids
    if not nearest.is_dir():
        why = f"{nearest} is a file"
    elif not os.access(nearest, os.W_OK | os.X_OK, effective_ids=effective):
        why = "it may not be written" if nearest == folder else f"{nearest} may not be written"
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
    """Hold a folder, which is made where there is none, until the context or the process ends."""
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
        # For the sentence above only: on a full disk the number is left out, and when the context
        # ends it stays.
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
