"""Files that are either whole or absent, and one process at a time in a folder."""

import errno
import json
import os
import platform
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metadescent._errors import NoReaderError, UserError

LOCK = ".lock"
STDOUT = Path("/dev/stdout")
"""The file that `-` stands for, by this name even where the system has no such file."""
HOST = re.sub(r"[^\w-]", "-", platform.node(), flags=re.ASCII)[:64] or "host"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new.

    Links are followed. A path that is not a regular file, such as a pipe or the standard output,
    is written into and not replaced.
    """
    # A name that is not UTF-8 has surrogates; they become JSON's own escapes.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    try:
        if is_stream(path):
            _pour(path, data)
        else:
            _replace(Path(os.path.realpath(path)) if path.is_symlink() else path, data)
    except BrokenPipeError as error:
        raise NoReaderError from error
    except OSError as error:
        raise write_error(path, len(data), error) from error


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            # The content has to be on the disk before it takes the name.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _pour(path: Path, data: bytes) -> None:
    number = descriptor_of(path)
    if number == 1 and sys.stdout is not None:
        sys.stdout.flush()
    # A redirected standard output that is opened again by name would be written from its start.
    with open(path if number is None else os.dup(number), "wb") as file:
        file.write(data)


def temporary_of(path: Path) -> Path:
    """Return where a file is written until it is whole: a hidden name with host and process."""
    # It is in the same folder, because a rename is one step only within a file system. No system
    # allows a name of more than 255 bytes.
    mark = f".{HOST}.{os.getpid()}.tmp"
    return path.with_name("." + os.fsdecode(os.fsencode(path.name)[: 254 - len(mark)]) + mark)


def left_overs(folder: Path, names: str) -> Iterator[Path]:
    """Yield what killed processes of this host left of files that they were writing.

    `names` is a regular expression for the names of the files. What older versions left does not
    have the host in its name, and is among them.
    """
    ours = re.compile(rf"\.(?:{names})(?:\.{HOST})?\.(\d+)\.tmp", re.ASCII)
    for path in folder.glob(".*.tmp"):
        match = ours.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink() and not _lives(int(match[1])):
            yield path


def _lives(process: int) -> bool:
    """Tell whether another process of this host lives; yes, if the system does not say."""
    if process == os.getpid():
        # The file is from an earlier process, whose number this one has now.
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def descriptor_of(path: Path) -> int | None:
    """Return the number of the open file that a path leads to, as /dev/stdout does, or None."""
    if path == STDOUT:
        return 1
    # A file that is the standard output or error must not be replaced under it.
    for number in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(number), path.stat()):
                return number
    for _ in range(40):
        if path.name.isdigit() and os.path.realpath(path.parent) == os.path.realpath("/dev/fd"):
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return None


def is_stream(path: Path) -> bool:
    """Tell whether a path is written into, like a pipe, and not replaced by a new file."""
    if descriptor_of(path) is not None:
        return True
    mode = _mode(path)
    return mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Raise a UserError unless all outputs can be written, each to a place of its own.

    No output may be an input, either. Files that exist are not changed.
    """
    taken = {os.path.realpath(path): "is read from" for path in inputs}
    for path in outputs:
        where = os.path.realpath(path)
        if where in taken and where != os.devnull:
            raise UserError(f"cannot write {path}: it {taken[where]}; choose another place")
        taken[where] = "is to be written twice"
        _check_output(path)


def check_own(files: Iterable[Path]) -> None:
    """Raise a UserError unless files that are replaced and read again can be written."""
    for path in files:
        _check_output(path)
        if is_stream(path):
            raise UserError(f"cannot write {path}: it is no regular file; choose another place")


def _check_output(path: Path) -> None:
    try:
        number, mode = descriptor_of(path), _mode(path)
        if number is not None:
            # Writing nothing is refused where writing something would be.
            os.write(number, b"")
            return
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise write_error(path, 0, error) from error
    if mode is not None and not _may_write(path, os.W_OK):
        raise UserError(f"cannot write {path}: it may not be written; choose another place")
    if mode is None or stat.S_ISREG(mode):
        check_writable(Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent)
    elif not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise UserError(f"cannot write {path}: it is a socket or a disk; choose another place")


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
    # The system does not say what is in a folder that may not be read.
    except OSError as error:
        raise read_error(path, error) from error


def check_writable(folder: Path) -> None:
    """Raise a UserError if a folder cannot be written or made; nothing is left in it."""
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise write_error(folder, 0, error) from error
    if os.path.islink(folder) and nearest != folder:
        why = "it is a link that leads nowhere"
    elif not nearest.is_dir():
        why = f"{nearest} is a file"
    elif not _may_write(nearest, os.W_OK | os.X_OK):
        why = "it may not be written" if nearest == folder else f"{nearest} may not be written"
    else:
        try:
            # Some folders, such as /proc, pretend to be writable.
            with tempfile.TemporaryFile(dir=nearest):
                return
        except OSError as error:
            raise write_error(folder, 0, error) from error
    raise UserError(f"cannot write {folder}: {why}; choose another place")


def _may_write(path: Path, mode: int) -> bool:
    # The rights of the effective user count, where the system can tell.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


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


def write_rows(path: Path, value: Any) -> None:
    """Write a value as compact JSON, one list of numbers a line, atomically."""
    write_atomically(path, _rows(value, 0) + "\n")


def _rows(value: Any, depth: int) -> str:
    """Return JSON with one item of a table, or one list of numbers, on every line."""
    nested = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(nested, list) or not any(isinstance(x, dict | list) for x in nested):
        return json.dumps(value, ensure_ascii=False)
    margin = "\n" + (depth + 1) * "  "
    if isinstance(value, dict):
        items = [
            f"{json.dumps(str(name), ensure_ascii=False)}: {_rows(item, depth + 1)}"
            for name, item in value.items()
        ]
    else:
        items = [_rows(item, depth + 1) for item in nested]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}{margin}{f',{margin}'.join(items)}{margin[:-2]}{end}"


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write values as JSON, one a line, atomically."""
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder until the context or the process ends; make it if there is none."""
    path = folder / LOCK
    # Imported only where a lock is taken, so that `--help` stays quick.
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_ours = _is_ours(path)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{folder} is in use by {_owner(path)}; wait until that ends or choose another folder"
        ) from error
    except OSError as error:
        raise write_error(path, 0, error) from error
    try:
        # The number is only for the sentence above: on a full disk it is left out, and after the
        # context it stays.
        with suppress(OSError):
            if is_ours:
                path.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def _is_ours(path: Path) -> bool:
    """Tell whether a lock is absent or holds a number; another program's lock stays as it is."""
    if not os.path.lexists(path):
        return True
    with suppress(OSError, ValueError):
        # Reading a pipe would wait.
        return path.is_file() and path.read_text(encoding="utf-8").isdecimal()
    return False


def _owner(path: Path) -> str:
    try:
        return f"process {int(path.read_text(encoding='utf-8'))}"
    except (OSError, ValueError):
        return "another process"
