"""`push`: the file as it is and a card that is true, in one commit."""

import hashlib
import math
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import pytest

import metadescent as package
from metadescent import zoo

FILE = "optimizer.safetensors"


def pushed(hub: Any, repo: str = "ada/lstm") -> tuple[bytes, str]:
    """The two files of the last commit."""
    files = hub.repos[repo][-1].files
    assert set(files) == {FILE, "README.md"}
    return files[FILE], files["README.md"].decode()


def test_what_is_pushed_is_loaded_to_the_bit(
    hub: Any, metadescent: Callable, assert_same_bits: Callable
) -> None:
    status, out, said = metadescent("push", "quadratic-lstm", "hf://ada/lstm")
    (commit,) = hub.repos["ada/lstm"]
    assert (status, out, said) == (0, f'metadescent.load("hf://ada/lstm@{commit.oid}")\n', "")
    data, text = pushed(hub)
    assert data == zoo.path("quadratic-lstm").read_bytes()
    assert_same_bits(eval(out, {"metadescent": package}), zoo.load("quadratic-lstm"))
    assert f"    {hashlib.sha256(data).hexdigest()}\n" in text
    assert f"which has {len(data):,} bytes" in text
    count = sum(math.prod(x.shape) for x in jax.tree.leaves(zoo.load("quadratic-lstm")))
    assert f"φ has {count:,} numbers" in text
    assert commit.message == f"quadratic-lstm, by metadescent {version('metadescent')}"
    assert not hub.private


def test_a_second_push_is_a_second_commit_and_the_same_again_is_none(
    hub: Any, metadescent: Callable
) -> None:
    lines = [metadescent("push", "quadratic-lstm", "hf://ada/lstm")[1] for _ in range(2)]
    assert lines[0] == lines[1]
    assert len(hub.repos["ada/lstm"]) == 1
    metadescent("push", "quadratic-uniform-lstm", "hf://ada/lstm", "--message", "another")
    assert [commit.message for commit in hub.repos["ada/lstm"]][1:] == ["another"]
    assert pushed(hub)[0] == zoo.path("quadratic-uniform-lstm").read_bytes()


def test_the_card_of_the_zoo_goes_with_its_optimizer(hub: Any, metadescent: Callable) -> None:
    metadescent("push", "mnist-lstm", "hf://ada/lstm")
    _, text = pushed(hub)
    assert zoo.card("mnist-lstm").partition("\n")[2].strip() in text
    assert re.search(r"^license: apache-2.0$", text, re.MULTILINE)
    assert "\n# lstm\n" in text


def test_the_card_of_a_run_is_made_of_what_its_file_says(
    hub: Any, run: Path, metadescent: Callable
) -> None:
    assert metadescent("push", "r", "hf://ada/lstm")[0] == 0
    data, text = pushed(hub)
    assert data == (run / FILE).read_bytes()
    assert "| trained on | `quadratic`, 4 steps |" in text
    assert "license" not in text.partition("\n---\n")[0]


@pytest.mark.parametrize("name", ["quadratic-lstm", "neural-art-lstm"])
def test_pytorch_is_named_only_where_it_has_the_rule(
    name: str, hub: Any, metadescent: Callable
) -> None:
    torch = pytest.importorskip("torch")
    metadescent("push", name, "hf://ada/lstm")
    _, text = pushed(hub)
    codes = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    model = torch.nn.Linear(2, 1)
    # The lines do what they say.
    for code in codes:
        exec(code, {"metadescent": package, "model": model})
    assert len(codes) == ("- pytorch" in text) + 1 == (name == "quadratic-lstm") + 1


def test_a_class_of_one_s_own_is_told_of(hub: Any, metadescent: Callable, tmp_path: Path) -> None:
    m = package.LSTM((2,), p=None, key=jax.random.key(0))
    zoo.save(tmp_path / "mine.safetensors", m, optimizer="rule.py:Rule(n=2)", license="My own, 2")
    status, out, _ = metadescent("push", "mine.safetensors", "hf://ada/lstm")
    assert status == 0
    assert re.fullmatch(r'metadescent\.load\("hf://ada/lstm@\w{40}", make=make\)\n', out)
    _, text = pushed(hub)
    assert "`make` returns `rule.py:Rule(n=2)`" in text
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"metadescent": package, "make": lambda _, key: m}
    exec(code, names)
    assert isinstance(names["m"], package.LSTM)


def test_private(hub: Any, metadescent: Callable, one_sentence: Callable) -> None:
    assert metadescent("push", "quadratic-lstm", "hf://ada/lstm", "--private")[0] == 0
    assert hub.private == {"ada/lstm"}
    # And once more.
    assert metadescent("push", "quadratic-lstm", "hf://ada/lstm", "--private")[0] == 0
    hub.put("ada/open", {})
    assert one_sentence(metadescent("push", "quadratic-lstm", "hf://ada/open", "--private")) == (
        "hf://ada/open is there already and public; make it private in its settings on "
        f"{hub.address}, or leave out --private"
    )
    assert hub.repos["ada/open"][-1].files == {}


def test_what_is_on_the_hub_is_pushed_to_another_place(hub: Any, metadescent: Callable) -> None:
    data = zoo.path("quadratic-lstm").read_bytes()
    hub.put("bob/lstm", {FILE: data})
    assert metadescent("push", "hf://bob/lstm", "hf://ada/lstm")[0] == 0
    assert pushed(hub)[0] == data


def test_what_cannot_be_pushed_is_told_in_a_sentence(
    hub: Any,
    m: str,
    offline: Callable,
    metadescent: Callable,
    one_sentence: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def said(*words: str) -> str:
        return one_sentence(metadescent("push", *words))

    assert said(m, "ada/lstm") == "'ada/lstm' is no repository of the Hub; write hf://user/repo"
    data = Path(m).read_bytes()
    Path("bad.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "is damaged: its SHA-256 is" in said("bad.safetensors", "hf://ada/lstm")
    assert "there is no pretrained optimizer" in said("no-such", "hf://ada/lstm")
    assert hub.asked == []
    assert said(m, "hf://bob/lstm") == (
        f"{hub.address} refuses hf://bob/lstm (403, You don't have the rights to create a model "
        'under "bob"); try a token that may write what bob has'
    )
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    again = "log in by hf auth login, or with $HF_TOKEN"
    assert said(m, "hf://ada/lstm") == (
        f"{hub.address} does not know this token for hf://ada/lstm; {again}"
    )
    monkeypatch.delenv("HF_TOKEN")
    assert said(m, "hf://ada/lstm") == (
        f"{hub.address} asks for a token for hf://ada/lstm; {again}"
    )
    hub.status = 500
    assert said(m, "hf://ada/lstm") == (
        f"{hub.address} does not serve hf://ada/lstm (500, out of order); try again later"
    )
    assert hub.repos == {}
    # What the cache has is of no use to what is to be written.
    hub.status = 0
    hub.put("ada/lstm", {FILE: data})
    zoo.path("hf://ada/lstm")
    offline()
    assert said(m, "hf://ada/lstm") == (
        f"cannot reach {hub.address} for hf://ada/lstm (HF_HUB_OFFLINE is set); try again with a "
        "network"
    )


FEW = ("--steps", "2", "--seeds", "2")


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "NAME"),
        pytest.param(
            ("evaluate", "NAME", "quadratic", *FEW, "--tune-seeds", "2", "--against="),
        ),
        pytest.param(
            ("visualize", "NAME", "quadratic", *FEW, "--against="), marks=pytest.mark.slow
        ),
        pytest.param(
            ("stylize", "grace_hopper", "china", "--size", "16", "--steps", "1", "--optimizer",
             "NAME", "--data-dir", "DATA"), marks=pytest.mark.slow,
        ),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_wherever_a_command_takes_an_optimizer_it_takes_one_of_the_hub_s(
    words: tuple[str, ...], hub: Any, m: str, data: Path, metadescent: Callable
) -> None:
    hub.put("ada/mine", {FILE: Path(m).read_bytes()})
    given = {"NAME": "hf://ada/mine", "DATA": str(data)}
    status, out, said = metadescent(*(given.get(word, word) for word in words))
    assert status == 0, said
    assert "mine" in out or words[0] in ("inspect", "stylize")
    branch = [asked for asked in hub.asked if "/resolve/main/" in asked]
    assert len(branch) == 1


@pytest.mark.slow
def test_a_training_goes_on_from_one_of_the_hub_s(hub: Any, m: str, train: Callable) -> None:
    oid = hub.put("ada/mine", {FILE: Path(m).read_bytes()})
    status, _, said = train("--init", "hf://ada/mine", "--out", "run")
    assert status == 0, said
    config = Path("run/config.json").read_text(encoding="utf-8")
    assert f'"init": "hf://ada/mine@{oid}"' in config
    # With the same words it goes on, while the branch is where it was.
    assert train("--init", "hf://ada/mine", "--out", "run", "--resume", "--epochs", "3")[0] == 0


@pytest.mark.parametrize("command", ["doctor", "report"])
def test_a_log_is_not_on_the_hub(
    command: str, hub: Any, metadescent: Callable, one_sentence: Callable
) -> None:
    assert one_sentence(metadescent(command, "hf://ada/lstm")) == (
        "hf://ada/lstm is no run folder, and on the Hub is no log of a run; try metadescent "
        "evaluate hf://ada/lstm, or name the folder that it was trained in"
    )
    assert hub.asked == []


def test_stylize_says_why_the_hub_s_is_not_there(
    hub: Any, data: Path, metadescent: Callable, one_sentence: Callable
) -> None:
    words = ("stylize", "grace_hopper", "china", "--optimizer", "hf://ada/lstm")
    assert one_sentence(metadescent(*words, "--data-dir", str(data))).startswith(
        f"there is no ada/lstm on {hub.address}, or it is private"
    )
