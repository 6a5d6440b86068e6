"""Where files are looked for, and what is said when they are not there or not right."""

import gzip
import hashlib
import lzma
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import pytest

from metadescent._errors import UserError
from metadescent.problems.data import Remote, data_dir, fetch, store

CONTENT = b"the published bytes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URLS = ("https://one.example/f.gz", "https://two.example/f.gz")
REMOTE = Remote("set/f.gz", URLS, SHA256)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieve(url: str, **_: Any) -> str:
        raise ConnectionError(url)

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def write(path: Path, content: bytes = b"one's own bytes") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_data_dir_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METADESCENT_DATA", "from-environment")
    assert data_dir("given") == Path("given")
    assert data_dir(Path("given")) == Path("given")
    assert data_dir() == Path("from-environment")
    monkeypatch.setenv("METADESCENT_DATA", "~/data")
    assert data_dir() == Path.home() / "data"
    monkeypatch.setattr(pooch, "os_cache", lambda project: Path("cache", project))
    monkeypatch.setenv("METADESCENT_DATA", "")
    monkeypatch.setattr(store, "BESIDE", tmp_path / "shared" / "data")
    assert data_dir() == Path("cache", "metadescent")
    monkeypatch.delenv("METADESCENT_DATA")
    assert data_dir() == Path("cache", "metadescent")
    store.BESIDE.mkdir(parents=True)
    assert data_dir() == store.BESIDE
    monkeypatch.setenv("METADESCENT_DATA", "from-environment")
    assert data_dir() == Path("from-environment")


def test_beside_the_repository_is_read_and_never_written_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Path(__file__).parents[4] / "shared" / "data" == store.BESIDE
    beside, cache = tmp_path / "shared" / "data", tmp_path / "cache"
    monkeypatch.setattr(store, "BESIDE", beside)
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache)
    monkeypatch.setattr(store, "_download", lambda remote, home: write(home, CONTENT))
    for get in (fetch, store.find):
        # Another project's.
        write(beside / "theirs.csv")
        assert get(REMOTE, beside) == cache / REMOTE.path
        assert get(REMOTE, beside) == cache / REMOTE.path
        assert [path.name for path in beside.iterdir()] == ["theirs.csv"]
        (own := beside / REMOTE.path).parent.mkdir()
        own.write_bytes(CONTENT)
        assert get(REMOTE, beside) == own
        shutil.rmtree(beside)
        shutil.rmtree(cache)
    # A folder that somebody named is theirs to have filled.
    assert fetch(REMOTE, str(beside)) == beside / REMOTE.path


@pytest.mark.parametrize("name", ["set/f", "set/f.xz", "f", "f.xz"])
def test_other_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    assert fetch(REMOTE, tmp_path) == path


@pytest.mark.parametrize("name", ["set/f.gz", "f.gz"])
def test_the_exact_name_is_checked(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, CONTENT)
    assert fetch(REMOTE, str(tmp_path)) == path
    write(path)
    sha256 = hashlib.sha256(b"one's own bytes").hexdigest()
    with pytest.raises(UserError) as caught:
        fetch(REMOTE, tmp_path)
    assert str(caught.value) == (
        f"{path} has SHA-256 {sha256} where {SHA256} is expected: "
        "unpack it if it is meant, or delete it so that it is fetched again."
    )


def test_plain_remote_name_finds_compressed(tmp_path: Path) -> None:
    path = write(tmp_path / "set" / "f.bin.xz", lzma.compress(CONTENT))
    remote = Remote("set/f.bin", URLS, SHA256)
    assert fetch(remote, tmp_path) == path
    write(path, lzma.compress(b"one's own bytes"))
    with pytest.raises(UserError, match="unpack it if it is meant, or delete it so that"):
        fetch(remote, tmp_path)
    # What is unpacked there is not meant for it either.
    plain = write(tmp_path / "set" / "f.bin")
    with pytest.raises(UserError, match=r"f\.bin has SHA-256 .* is expected: delete it"):
        fetch(remote, tmp_path)
    assert plain.exists()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bytes])
@pytest.mark.parametrize("name", ["set/f.gz", "f.gz", "set/f.xz", "f.xz"])
def test_what_is_packed_again_is_known_by_what_it_unpacks_to(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    remote = REMOTE._replace(sha256="0" * 64, unpacked=SHA256)
    path = write(tmp_path / name, pack(CONTENT))
    assert fetch(remote, tmp_path) == path
    write(path, pack(b"one's own bytes"))
    sha256 = hashlib.sha256(b"one's own bytes").hexdigest()
    with pytest.raises(UserError) as caught:
        fetch(remote, tmp_path)
    assert str(caught.value) == (
        f"{path} unpacks to bytes of SHA-256 {sha256} where {SHA256} is expected: "
        "unpack it if it is meant, or delete it so that it is fetched again."
    )
    # Who does so may keep the packed one.
    plain = write(path.with_suffix(""))
    assert fetch(remote, tmp_path) == plain


def test_a_packed_file_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "f.gz", gzip.compress(CONTENT * 99)[:-9])
    with pytest.raises(UserError, match=r"is damaged .*: delete it so that it is fetched again"):
        fetch(REMOTE._replace(unpacked=SHA256), tmp_path)
    assert path.exists()


def test_no_more_is_unpacked_than_any_data_set_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_BYTES", 1000)
    write(tmp_path / "f.gz", gzip.compress(bytes(1 << 22)))
    with pytest.raises(UserError, match=hashlib.sha256(bytes(1 << 20)).hexdigest()):
        fetch(REMOTE._replace(unpacked=SHA256), tmp_path)


def test_its_own_folder_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "f.gz", CONTENT)
    assert fetch(REMOTE, tmp_path).parent == tmp_path
    path = write(tmp_path / "set" / "f")
    assert fetch(REMOTE, tmp_path) == path


def test_missing_without_network(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(REMOTE, tmp_path)
    assert str(caught.value) == (
        "f.gz is missing and could not be downloaded from "
        "https://one.example/f.gz (ConnectionError) or https://two.example/f.gz (ConnectionError): "
        f"put it at {tmp_path / 'set' / 'f.gz'}, "
        "or set METADESCENT_DATA or --data-dir to a folder that has it."
    )
    assert not list(tmp_path.rglob("*.gz"))


def test_each_mirror_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class RefusedError(OSError):
        response = type("Response", (), {"status_code": 403})

    errors = iter([RefusedError("a long story"), ValueError("SHA256 hash ... does not match")])

    def retrieve(url: str, **_: Any) -> str:
        raise next(errors)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(UserError, match=r"f\.gz \(HTTP status 403\) or .*\(wrong checksum\): put"):
        fetch(REMOTE, tmp_path)


@pytest.mark.parametrize("terminal", [False, True])
def test_second_mirror_with_and_without_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """As pooch does it, but for the network: report progress, check the sum, rename."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    asked = []

    def retrieve(url: str, *, known_hash: str, fname: str, path: Path, downloader: Any) -> str:
        asked.append(url)
        if url == URLS[0]:
            raise ConnectionError
        assert known_hash == f"sha256:{SHA256}"
        assert (path, fname) == (tmp_path / "set", "f.gz")
        assert bool(downloader.progressbar) is terminal
        if bar := downloader.progressbar:
            bar.total = len(CONTENT)
            bar.update(1024)
            bar.reset()
            bar.update(len(CONTENT))
            bar.close()
        return str(write(path / fname, CONTENT))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert fetch(REMOTE, tmp_path).read_bytes() == CONTENT
    assert fetch(REMOTE, tmp_path).name == "f.gz"
    assert asked == list(URLS)


def test_import_is_light() -> None:
    code = (
        "import sys, metadescent.problems.data; "
        "print(sorted({'jax', 'pooch', 'rich', 'sklearn', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
