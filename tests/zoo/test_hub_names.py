"""Names on the Hub are read as they are written, and what is no name is told so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent.zoo.hub_names import HubName, as_path, on_hub, repository_of

HOW = "write hf://user/repo, hf://user/repo@revision or hf://user/repo/file.safetensors@revision"
COMMIT = "0123456789abcdef" * 2 + "01234567"

parts = st.from_regex(r"\A[a-zA-Z0-9_]([.-]?[a-zA-Z0-9_]){0,5}\Z").filter(
    lambda text: not text.endswith(".git")
)
files = st.lists(parts, max_size=2).map(lambda names: "/".join([*names, "x.safetensors"]))
revisions = st.one_of(st.just(""), st.lists(parts, min_size=1, max_size=3).map("/".join))


repos = st.tuples(parts, parts).map("/".join)


@given(st.builds(HubName, repos, files, revisions))
def test_a_name_is_read_as_it_is_written(name: HubName) -> None:
    assert HubName.of(str(name)) == name
    assert on_hub(str(name))
    assert as_path(Path(str(name))) == str(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf://ada/lstm", HubName("ada/lstm", "optimizer.safetensors", "")),
        ("hf://ada/lstm@refs/pr/1", HubName("ada/lstm", revision="refs/pr/1")),
        ("hf://ada/lstm/a b/c.safetensors@v1.0", HubName("ada/lstm", "a b/c.safetensors", "v1.0")),
        ("hf://ada/lstm/optimizer.safetensors", HubName("ada/lstm")),
    ],
)
def test_what_a_name_stands_for(text: str, name: HubName) -> None:
    assert HubName.of(text) == name


def test_a_commit_is_all_of_its_digits() -> None:
    assert HubName.of(f"hf://ada/lstm@{COMMIT}").is_pinned
    for revision in ("", "main", COMMIT[:7], COMMIT + "0", COMMIT.upper()):
        assert not HubName("ada/lstm", revision=revision).is_pinned


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("hf://ada/lstm@v1", "lstm"),
        ("hf://ada/lstm/old/first.safetensors", "first.safetensors"),
        ("hf://ada/lstm/old/optimizer.safetensors", "optimizer.safetensors"),
    ],
)
def test_what_its_optimizer_is_called(text: str, label: str) -> None:
    assert HubName.of(text).label == label


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        *((f"hf://{place}", "names no user and repository of the Hub") for place in (
            *("", "ada", "ada/", "/lstm", "ada//lstm", "@v1", "ada/a--b", "ada/a..b", "-a/b"),
            *("ada/lstm.git", "../lstm", "ada/..", "a b/c", "ö/b", f"{'a' * 48}/{'b' * 48}"),
        )),
        ("hf://ada/lstm@v1/x.safetensors", "has its file behind the revision"),
        ("hf://ada/lstm/README.md", "names 'README.md', which is no .safetensors file"),
        ("hf://datasets/ada/lstm", "names 'lstm', which is no .safetensors file"),
        ("hf://ada/b/a//x.safetensors", "names 'a//x.safetensors', which is no .safetensors file"),
        (
            "hf://ada/lstm/../x.safetensors",
            "names '../x.safetensors', which is no .safetensors file",
        ),
        *((f"hf://ada/lstm@{revision}", "has no revision behind its @") for revision in (
            *("", "a b", "a..b", "/a", "a/", "a^", 'a"b', "a:b"),
        )),
    ],
)  # fmt: skip
def test_what_is_no_name_is_told_so(text: str, wrong: str, sentence: Callable) -> None:
    assert sentence(HubName.of, text) == f"{text!r} {wrong}; {HOW}"


def test_what_is_pushed_to_is_a_repository(sentence: Callable) -> None:
    assert repository_of("hf://ada/lstm") == HubName("ada/lstm")
    assert sentence(repository_of, "ada/lstm") == (
        "'ada/lstm' is no repository of the Hub; write hf://user/repo"
    )
    for more in ("@main", "/x.safetensors"):
        assert sentence(repository_of, f"hf://ada/lstm{more}") == (
            f"'hf://ada/lstm{more}' names more than a repository, and optimizer.safetensors goes "
            "into a new commit of its main branch; try hf://ada/lstm"
        )


@pytest.mark.parametrize("name", ["mnist-lstm", "hf:/ada/lstm", "runs/hf:/a", "HF://a/b", None])
def test_other_names_are_not_on_the_hub(name: object) -> None:
    assert not on_hub(name)
