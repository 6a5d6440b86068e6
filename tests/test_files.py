"""A file is whole or not there, whatever happens while it is written."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent._errors import UserError
from metadescent._files import write_atomically, write_json, write_lines

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


def test_lines_are_one_value_each(tmp_path: Path) -> None:
    values = [{"a": 1}, [2], "three\nlines"]
    write_lines(tmp_path / "x.jsonl", iter(values))
    assert list(map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())) == values


def test_a_sentence_is_an_exception_like_any_other() -> None:
    assert str(UserError("what, and how")) == "what, and how"
    assert not isinstance(UserError(""), OSError | ValueError)
