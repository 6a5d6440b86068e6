"""Optimizers from the Hub: the right commit, whole, without code, and in a sentence if not."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from metadescent import zoo
from metadescent.optimizers.lstm import LSTM
from metadescent.runs import own
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.zoo import hub as rim

FILE = "optimizer.safetensors"
NAME = "hf://ada/lstm"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[LSTM, bytes]]:
    """Two small optimizers of one kind, and their files."""
    folder, made = tmp_path_factory.mktemp("two"), []
    for seed in range(2):
        m = LSTM((2,), p=None, key=jax.random.key(seed))
        zoo.save(folder / FILE, m, trained_on="quadratic")
        made.append((m, (folder / FILE).read_bytes()))
    return made


def test_a_branch_goes_on_and_a_commit_does_not(
    hub: Any, two: list[tuple[LSTM, bytes]], assert_same_bits: Callable
) -> None:
    (first, its_file), (second, newer) = two
    old = hub.put("ada/lstm", {FILE: its_file})
    assert zoo.pinned(NAME) == f"{NAME}@{old}"
    assert_same_bits(zoo.load(NAME), first)
    hub.branches["ada/lstm", "refs/pr/1"] = old
    new = hub.put("ada/lstm", {FILE: newer})
    assert_same_bits(zoo.load(NAME), second)
    assert zoo.pinned(NAME) == f"{NAME}@{new}"
    assert_same_bits(zoo.load(f"{NAME}@{old}"), first)
    assert_same_bits(zoo.load(f"{NAME}@refs/pr/1"), first)


def test_what_the_cache_has_of_a_commit_is_not_asked_for(
    hub: Any, two: list[tuple[LSTM, bytes]], assert_same_bits: Callable
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1]})
    name = zoo.pinned(NAME)
    assert hub.asked
    hub.asked.clear()
    assert_same_bits(zoo.load(name), two[0][0])
    assert zoo.pinned(name) == name
    assert hub.asked == []


def test_another_file_of_the_repository(
    hub: Any, two: list[tuple[LSTM, bytes]], assert_same_bits: Callable
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1], "old/first.safetensors": two[1][1]})
    assert_same_bits(zoo.load(f"{NAME}/old/first.safetensors"), two[1][0])
    assert_same_bits(zoo.load(f"{NAME}/old/first.safetensors@main"), two[1][0])


def test_only_the_file_is_fetched(hub: Any, two: list[tuple[LSTM, bytes]], tmp_path: Path) -> None:
    hub.put("ada/lstm", {FILE: two[0][1], "README.md": b"---\n---\n", "evil.py": b"1 / 0"})
    path = zoo.path(NAME)
    assert path.is_relative_to(tmp_path)
    assert {of.name for of in path.parent.iterdir()} == {FILE}
    assert any("metadescent/" in agent for agent in hub.agents)


def test_no_other_name_asks_for_anything(
    hub: Any, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert zoo.path("quadratic-lstm").is_file()
    assert zoo.pinned("quadratic-lstm") == "quadratic-lstm"
    sentence(zoo.path, "hf:ada/lstm")
    assert hub.asked == []
    assert sentence(zoo.load, NAME) == (
        f"{NAME} needs huggingface_hub (import of huggingface_hub halted; None in sys.modules); "
        "try pip install 'metadescent[hub]'"
    )


def test_a_path_has_lost_a_slash(hub: Any, sentence: Callable) -> None:
    assert sentence(zoo.load, Path(NAME)) == (
        "'hf:/ada/lstm' is a path; write it as text, 'hf://ada/lstm'"
    )
    assert hub.asked == []


@pytest.mark.parametrize("at", [-1, 300])
def test_a_byte_that_was_changed_is_refused(
    at: int, hub: Any, two: list[tuple[LSTM, bytes]], sentence: Callable
) -> None:
    data = bytearray(two[0][1])
    # In φ, or in a text of the metadata.
    at = data.index(b"quadratic") if at == 300 else at
    data[at] ^= 1
    oid = hub.put("ada/lstm", {FILE: bytes(data)})
    for call in (zoo.load, zoo.path, zoo.pinned):
        text = sentence(call, NAME)
        assert text.startswith(f"{NAME}@{oid} is damaged: its SHA-256 is ")
        assert text.endswith(" to fetch it again, or tell whoever pushed it")


def test_what_the_cache_has_damaged_is_fetched_again_once_it_is_deleted(
    hub: Any, two: list[tuple[LSTM, bytes]], sentence: Callable, assert_same_bits: Callable
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1]})
    path = zoo.path(NAME).resolve()
    path.write_bytes(two[0][1][:-1] + bytes([two[0][1][-1] ^ 1]))
    assert f"; delete {path} to fetch it again" in sentence(zoo.load, NAME)
    path.unlink()
    assert_same_bits(zoo.load(NAME), two[0][0])


def test_what_the_cache_has_is_no_larger_either(
    hub: Any, two: list[tuple[LSTM, bytes]], monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1]})
    name, size = zoo.pinned(NAME), len(two[0][1])
    monkeypatch.setattr(rim, "MOST_BYTES", size - 1)
    hub.asked.clear()
    text = sentence(zoo.load, name)
    assert text.startswith(f"{name} has {size:,} bytes and an optimizer has at most {size - 1:,};")
    assert hub.asked == []


def test_what_is_no_optimizer_is_refused(hub: Any, sentence: Callable) -> None:
    for data in (b"", b"<html>", (1 << 40).to_bytes(8, "little") + b"{}"):
        oid = hub.put("ada/lstm", {FILE: data})
        text = sentence(zoo.load, NAME)
        assert text.startswith(f"{NAME}@{oid} is ")
        assert "not a" in text


CODE = """
from pathlib import Path
from metadescent import LSTM
Path({marker!r}).touch()
class Rule(LSTM): pass
"""


@pytest.fixture
def hostile(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: list[tuple[LSTM, bytes]]
) -> tuple[Path, Path]:
    """A repository with code that it names: the marker that this leaves, and where it is cached."""
    from huggingface_hub import hf_hub_download

    marker, spec = tmp_path / "ran", "rule.py:Rule(layers=(2,), p=None)"
    zoo.save(tmp_path / FILE, two[0][0], optimizer=spec)
    code = CODE.format(marker=str(marker)).encode()
    recipe = {"optimizer": spec}
    config = json.dumps({"problem": "quadratic", "recipe": recipe, "origin": None}).encode()
    files = {FILE: (tmp_path / FILE).read_bytes(), "rule.py": code, "config.json": config}
    hub.put("ada/lstm", files)
    # As after a download of the whole repository.
    for name in files:
        path = hf_hub_download("ada/lstm", name)
    folder = Path(path).parent
    monkeypatch.chdir(folder)
    return marker, folder


def test_no_code_is_run(hostile: tuple[Path, Path], sentence: Callable) -> None:
    marker, folder = hostile
    text = sentence(zoo.load, NAME)
    assert "holds an optimizer of a class outside the package, rule.py:Rule(" in text
    assert "add --trust" in sentence(own.load, NAME)
    assert not marker.exists()
    # That it could have run is seen where the folder is named, as one's own run.
    own.load(folder)
    assert marker.exists()


def test_whoever_has_the_class_passes_it(
    hub: Any, hostile: tuple[Path, Path], two: list[tuple[LSTM, bytes]], assert_same_bits: Callable
) -> None:
    make = lambda _, key: LSTM((2,), p=None, key=key)  # noqa: E731
    assert_same_bits(zoo.load(NAME, make=make), two[0][0])
    assert not hostile[0].exists()


def test_offline_a_commit_is_served_from_the_cache(
    hub: Any,
    two: list[tuple[LSTM, bytes]],
    offline: Callable,
    assert_same_bits: Callable,
    sentence: Callable,
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1]})
    name = str(zoo.pinned(NAME))
    hub.asked.clear()
    offline()
    assert_same_bits(zoo.load(name), two[0][0])
    assert sentence(zoo.load, NAME) == (
        f"cannot reach {hub.address} for {NAME} (HF_HUB_OFFLINE is set); the cache has {name}, "
        "which needs no network"
    )
    other = name[:-1] + ("0" if name[-1] != "0" else "1")
    assert sentence(zoo.load, other) == (
        f"cannot reach {hub.address} for {other} (HF_HUB_OFFLINE is set); try again with a network"
    )
    assert hub.asked == []


def test_where_there_is_no_network(
    hub: Any, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    from huggingface_hub import constants, file_download

    closed = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", closed)
    template = closed + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    text = sentence(zoo.load, NAME)
    assert text.startswith(f"cannot reach {closed} for {NAME} (")
    assert text.endswith("Connection refused); try again with a network")


TRY = "log in by hf auth login, or with $HF_TOKEN"
FORGED = {"claimed": {"X-Repo-Commit": "../../../../x"}}
# What the Hub is like, what is asked for, and what is said; no token is an empty one.
SENTENCES: list[tuple[dict[str, Any], str, str]] = [
    (
        {},
        "hf://ada/none",
        "there is no ada/none on HUB, or it is private and this token may not read it; check the "
        "name and the token",
    ),
    (
        {"token": ""},
        "hf://ada/none",
        f"there is no ada/none on HUB, or it is private and there is no token; check the name, or "
        f"{TRY}",
    ),
    (
        {"token": "", "private": {"ada/lstm"}},
        NAME,
        f"there is no ada/lstm on HUB, or it is private and there is no token; check the name, or "
        f"{TRY}",
    ),
    ({"token": "hf_other"}, NAME, f"HUB does not know this token for {NAME}; {TRY}"),
    (
        {"gated": {"ada/lstm"}},
        NAME,
        f"{NAME} is given to those who ask: ask at HUB/ada/lstm, and {TRY}",
    ),
    (
        {},
        f"{NAME}@v9",
        "ada/lstm has no revision 'v9'; try one of HUB/ada/lstm/commits/main",
    ),
    (
        {},
        f"{NAME}/x.safetensors@main",
        f"{NAME}/x.safetensors@main holds no x.safetensors; try {NAME}/FILE.safetensors with a "
        "file of HUB/ada/lstm/tree/main",
    ),
    (
        {"claimed": {"X-Linked-Size": "1000000001"}},
        NAME,
        f"{NAME} has 1,000,000,001 bytes and an optimizer has at most 1,000,000,000; download it "
        "and name the file if it is one",
    ),
    (FORGED, NAME, f"HUB does not say which commit {NAME} is from; is it the address of a Hub?"),
    ({"status": 507}, NAME, f"HUB does not serve {NAME} (507, out of order); try again later"),
]


@pytest.mark.parametrize(("state", "name", "expected"), SENTENCES)
def test_what_the_hub_does_not_give_is_told_in_a_sentence(
    state: dict[str, Any],
    name: str,
    expected: str,
    hub: Any,
    two: list[tuple[LSTM, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    sentence: Callable,
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1]})
    monkeypatch.setenv("HF_TOKEN", state.get("token", os.environ["HF_TOKEN"]))
    for attribute in set(state) - {"token"}:
        setattr(hub, attribute, state[attribute])
    assert sentence(zoo.load, name) == expected.replace("HUB", hub.address)


def test_a_private_one_is_given_to_its_token(
    hub: Any, two: list[tuple[LSTM, bytes]], assert_same_bits: Callable
) -> None:
    hub.put("ada/lstm", {FILE: two[0][1]})
    hub.private = {"ada/lstm"}
    assert_same_bits(zoo.load(NAME), two[0][0])


def test_a_cache_that_cannot_be_written(
    hub: Any,
    two: list[tuple[LSTM, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sentence: Callable,
) -> None:
    from huggingface_hub import constants

    (tmp_path / "file").touch()
    cache = str(tmp_path / "file" / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", cache)
    oid = hub.put("ada/lstm", {FILE: two[0][1]})
    assert sentence(zoo.load, NAME) == (
        f"cannot keep {NAME}@{oid} in {cache}: Not a directory; make room there, or name another "
        "folder with $HF_HOME"
    )


def test_progress_bars_are_as_they_were(hub: Any, two: list[tuple[LSTM, bytes]]) -> None:
    from huggingface_hub import utils

    before = utils.are_progress_bars_disabled()
    hub.put("ada/lstm", {FILE: two[0][1]})
    zoo.load(NAME)
    assert utils.are_progress_bars_disabled() == before


def test_a_file_that_could_not_be_loaded_again_is_not_pushed(
    hub: Any, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    monkeypatch.setattr(rim, "MOST_BYTES", 3)
    name = rim.HubName("ada/lstm")
    assert sentence(rim.to_hub, name, {FILE: b"four"}, private=False, message="") == (
        f"{FILE} has 4 bytes and an optimizer on the Hub at most 3; publish it elsewhere"
    )
    assert hub.asked == []


def test_a_run_goes_on_from_the_commit_that_it_began_with(
    hub: Any, two: list[tuple[LSTM, bytes]], assert_same_bits: Callable
) -> None:
    oid = hub.put("ada/lstm", {FILE: two[0][1]})
    recipe = Recipe(optimizer="lstm(layers=(2,), p=None)", init=NAME)
    plan = plan_of(recipe)
    assert plan.recipe.init == f"{NAME}@{oid}"
    hub.put("ada/lstm", {FILE: two[1][1]})
    assert_same_bits(plan_of(plan.recipe).m, two[0][0])
    assert_same_bits(plan_of(recipe).m, two[1][0])


@pytest.mark.slow
def test_a_process_of_its_own_goes_by_the_variables(
    hub: Any, two: list[tuple[LSTM, bytes]], tmp_path: Path
) -> None:
    oid = hub.put("ada/lstm", {FILE: two[0][1]})
    program = f"from metadescent import zoo; print(zoo.path({NAME!r}))"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
    path = Path(done.stdout.strip())
    assert path == tmp_path / "hf/hub/models--ada--lstm/snapshots" / oid / FILE
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(two[0][1]).digest()
