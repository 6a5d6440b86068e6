"""A file is whole or not there, whatever happens while it is written."""

import errno
import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent._errors import NoReaderError, UserError
from metadescent._files import (
    STDOUT,
    check_outputs,
    is_stream,
    temporary_of,
    write_atomically,
    write_json,
    write_lines,
    write_rows,
)

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*_: object) -> None:
    raise NO_SPACE


@pytest.mark.parametrize("content", ["θ and φ\n", b"\x00\xff", "", b""])
def test_it_writes_what_it_is_given(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_the_new_replaces_the_old(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "a longer old content")
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, moment, fail)
    assert sentence(write_atomically, path, b"x" * 1234) == (
        f"the disk is full: {path} (1,234 bytes) was not written and what was there before is kept;"
        " free some room or choose another place"
    )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_file_and_no_other(
    tmp_path: Path, interruption: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise interruption

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(interruption):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_new_content_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=real: (moments.append(n), f(*a))[1])
    write_atomically(tmp_path / "file", "content")
    assert moments[:2] == ["fsync", "replace"]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "file").write_text("in the way")
    said = sentence(write_atomically, tmp_path / "file" / "x", "content")
    assert said.startswith(f"cannot write {tmp_path / 'file' / 'x'}: ")
    assert said.endswith("; choose another place")


def test_a_target_that_is_a_folder_is_named(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "x").mkdir()
    assert sentence(write_atomically, tmp_path / "x", "content") == (
        f"cannot write {tmp_path / 'x'}: Is a directory; choose another place"
    )
    assert os.listdir(tmp_path) == ["x"]


def test_json_is_indented_and_keeps_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"θ": [1, None]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"θ": [1, None]}
    assert text.startswith('{\n  "θ"')
    assert text.endswith("}\n")


def test_rows_of_numbers_are_lines(tmp_path: Path) -> None:
    value = {"θ": {"a": [1.5, None, 2], "b": [[1, 2], [3, 4]], "none": [], "no": {}}, "n": 1}
    write_rows(tmp_path / "x.json", value | {"many": [{"k": [1]}, "é\n[ ]", True]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == value | {"many": [{"k": [1]}, "é\n[ ]", True]}
    assert '\n    "a": [1.5, null, 2],\n' in text
    assert "\n      [3, 4]\n    ]" in text
    assert '"θ"' in text
    with pytest.raises(TypeError):
        write_rows(tmp_path / "x.json", {"x": [{1}]})


def test_lines_are_one_value_each(tmp_path: Path) -> None:
    values = [{"a": 1}, [2], "three\nlines"]
    write_lines(tmp_path / "x.jsonl", iter(values))
    assert list(map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())) == values


def test_a_sentence_is_an_exception_like_any_other() -> None:
    assert str(UserError("what, and how")) == "what, and how"
    assert not isinstance(UserError(""), OSError | ValueError)


def test_a_name_that_is_no_text_is_written_as_json_escapes_it(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "x.json", {"name": name})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": name}


@pytest.mark.parametrize("name", ["short", "é" * 127, "x" * 255])
def test_a_name_as_long_as_there_are_is_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, "content")
    assert os.listdir(tmp_path) == [name]
    assert str(os.getpid()) in temporary_of(tmp_path / name).name


def linked(path: Path, to: Path) -> Path:
    path.symlink_to(to)
    return path


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").write_text("old", encoding="utf-8")
    for name in ("old", "new"):
        link = linked(tmp_path / f"{name}-link", Path("there") / name)
        twice = linked(tmp_path / f"{name}-twice", link)
        check_outputs([twice])
        write_atomically(twice, "content")
        assert twice.is_symlink()
        assert link.is_symlink()
        assert (tmp_path / "there" / name).read_text(encoding="utf-8") == "content"
    assert sorted(os.listdir(tmp_path / "there")) == ["new", "old"]


@pytest.mark.parametrize("through_link", [False, True])
def test_a_pipe_is_written_into(tmp_path: Path, through_link: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = linked(tmp_path / "link", tmp_path / "pipe") if through_link else tmp_path / "pipe"
    check_outputs([path])  # does not wait for a reader
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_atomically(path, b"x" * 100_000)
    reader.join(10)
    assert read == [b"x" * 100_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="there is no /dev/fd")
def test_an_open_file_is_written_into_by_its_number(tmp_path: Path) -> None:
    # As `>(…)` of a shell and /dev/stdout are.
    reading, writing = os.pipe()
    link = linked(tmp_path / "link", Path(f"/dev/fd/{writing}"))
    check_outputs([link])
    write_atomically(link, "1")
    write_atomically(Path(f"/dev/fd/{writing}"), "2")
    os.close(writing)
    assert os.read(reading, 10) == b"12"
    os.close(reading)
    with (tmp_path / "file").open("wb") as file:
        file.write(b"begun, ")
        file.flush()
        write_atomically(Path(f"/dev/fd/{file.fileno()}"), "gone on with")
    assert (tmp_path / "file").read_bytes() == b"begun, gone on with"


def test_a_pipe_that_nobody_reads_is_told_apart(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(NoReaderError):
        write_atomically(Path(f"/dev/fd/{writing}"), "content")
    os.close(writing)


def test_the_standard_output_is_what_a_file_is_that_it_was_sent_to(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert is_stream(STDOUT)
    print("before")
    write_atomically(STDOUT, "content")
    assert capfd.readouterr().out == "before\ncontent"
    with (tmp_path / "file").open("wb") as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            assert is_stream(tmp_path / "file")
        finally:
            os.dup2(kept, 1)
            os.close(kept)
    assert not is_stream(tmp_path / "file")


CANNOT = "cannot write {}: {}; choose another place"


def test_what_cannot_be_written_is_known_before(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    linked(tmp_path / "loop", tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket"))
        reasons = {
            "folder": "Is a directory",
            "loop": "Too many levels of symbolic links",
            "x" * 256: "File name too long",
            "socket": "it is a socket or a disk",
        }
        for name, why in reasons.items():
            path = tmp_path / name
            assert sentence(check_outputs, [path]) == CANNOT.format(path, why)
    below = tmp_path / "file" / "x"
    why = f"{tmp_path / 'file'} is a file"
    assert sentence(check_outputs, [below]) == CANNOT.format(tmp_path / "file", why)
    assert sentence(check_outputs, [Path("/dev/fd/987")]) == CANNOT.format(
        "/dev/fd/987", "Bad file descriptor"
    )
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"
    check_outputs([tmp_path / "file", tmp_path / "new" / "file", Path(os.devnull)])
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="there is no /proc")
def test_a_place_that_only_says_that_it_may_be_written_is_found_out(sentence: Callable) -> None:
    for path in (Path("/proc/x.json"), Path("/proc/new/x.json")):
        assert sentence(check_outputs, [path]).startswith("cannot write /proc")


def test_an_output_is_no_input_and_no_other_output(tmp_path: Path, sentence: Callable) -> None:
    file, link = tmp_path / "file", linked(tmp_path / "link", tmp_path / "file")
    for first, second in [(file, file), (link, file), (file, link)]:
        assert sentence(check_outputs, [second], [first]) == CANNOT.format(
            second, "it is read from"
        )
        assert sentence(check_outputs, [first, second]) == CANNOT.format(
            second, "it is to be written twice"
        )
    null = Path(os.devnull)
    check_outputs([null, null])
    with pytest.raises(UserError, match="written twice"):
        check_outputs([STDOUT, STDOUT])
