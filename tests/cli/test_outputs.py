"""Where results are written: looked at before any work, one mechanism for all commands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadescent.cli.command import commands
from metadescent.cli.words import PLACES
from metadescent.runs import fit

DOUBT = "; choose another place\n"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command does its work: what is refused is refused before."""

    def work(command: Any) -> None:
        raise AssertionError(f"{command} began to work")

    for kind in commands().values():
        if kind.__name__ != "Train":
            monkeypatch.setattr(kind, "run", work)


@pytest.fixture
def here(trained: tuple[Path, str, str], data: Path, tmp_path: Path) -> Path:
    """A folder with a run r, two pictures, a problem's file and a file in the way."""
    shutil.copytree(trained[0], tmp_path / "r")
    for name in ("a.png", "b.png"):
        shutil.copy(data / "photo.png", tmp_path / name)
    (tmp_path / "lines.py").write_text("", encoding="utf-8")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    (tmp_path / "w.l2l").write_bytes(b"")
    return tmp_path


WORDS = [
    ("evaluate r quadratic --json", "x.json"),
    ("evaluate r quadratic --plot", "x.png"),
    ("bench r --json", "x.json"),
    ("bench r --plot", "x.png"),
    ("doctor r --json", "x.json"),
    ("report r --out", "x.html"),
    ("visualize r quadratic --out", "x"),
    ("reproduce figure4 --out", "x"),
    ("reproduce figure4 --json", "x.json"),
    ("stylize a.png b.png --out", "x.png"),
    ("convert w.l2l lstm --out", "x.safetensors"),
    ("demo --out", "x"),
    ("train quadratic --out", "x"),
]


def test_every_command_that_has_such_a_flag_is_here() -> None:
    with_places = {
        name
        for name, kind in commands().items()
        if {flag.removeprefix("--") for flag in PLACES} & set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    }
    assert with_places == {words.split()[0] for words, _ in WORDS}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(("words", "name"), WORDS)
def test_what_cannot_be_written_is_said_before_any_work(
    words: str, name: str, here: Path, metadescent: Callable
) -> None:
    for place, why in [
        (f"file/{name}", "file is a file"),
        (f"/proc/{name}", "No such file or directory"),
        ("x" * 300 + name, "File name too long"),
    ]:
        status, out, said = metadescent(*words.split(), place)
        assert (status, out) == (2, "")
        assert said.startswith("metadescent: cannot ")
        assert f"{why}; " in said
    status, out, said = metadescent(*words.split(), "")
    flag = words.split()[-1]
    assert (status, said) == (
        2,
        f"metadescent: {flag} is empty and must name a place to write; is a variable unset?\n",
    )
    assert (here / "file").read_text(encoding="utf-8") == "in the way"


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    "words",
    [
        "evaluate r quadratic --json r/config.json",
        "evaluate r quadratic --json r/optimizer.safetensors",
        "bench nag,r --json r/optimizer.safetensors",
        "evaluate r/optimizer.safetensors lines.py:lines(n=3) --json lines.py",
        "doctor r --json r/metrics.jsonl",
        "report r --out r/checkpoints/../config.json",
        "stylize a.png b.png --out a.png",
        "stylize a.png b.png --out link.png",
        "stylize b-strip.png a.png --out b.png --compare",
        "stylize b-0002.png a.png --out b.png --frames 2",
    ],
)
def test_what_is_read_is_not_written(words: str, here: Path, metadescent: Callable) -> None:
    (here / "link.png").symlink_to("b.png")
    for name in ("b-strip.png", "b-0002.png"):
        shutil.copy(here / "b.png", here / name)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    status, out, said = metadescent(*words.split())
    assert (status, out) == (2, "")
    assert said.endswith(f"it is read from{DOUBT}")
    after = {path: path.read_bytes() for path in before}
    assert after == before


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("doctor {} --json", ["r", "s/seed-0"]),
        ("report {} --out", ["r", "s/seed-0"]),
        ("evaluate {} quadratic --json", ["r", "s", "s/seed-0", "r/optimizer.safetensors"]),
    ],
)
def test_what_a_run_names_is_not_written(
    words: str, runs: list[str], here: Path, metadescent: Callable
) -> None:
    config = json.loads((here / "r" / "config.json").read_text(encoding="utf-8"))
    config["problem"] = "lines.py:lines(file='data.csv') + pkg.prob:f"
    config["origin"]["folder"] = str(here)
    config["recipe"] |= {
        "optimizer": "* -> rule.py:Rule >> optax.sgd(learning_rate=0.1)",
        "estimator": "est.py:Est",
        "init": "first.safetensors",
    }
    (here / "r" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copytree(here / "r", here / "s" / "seed-0")
    (here / "pkg").mkdir()
    (here / "lines.py").write_text("from sib import x\nimport json", encoding="utf-8")
    names = ["data.csv", "rule.py", "est.py", "first.safetensors", "sib.py", "json.py"]
    named = ["lines.py", "pkg/prob.py", *names]
    for name in (*named[1:], "other.py"):
        (here / name).touch()
    for run in runs:
        own = ["stopped.json", "result.json"] if "." not in run else []
        for place in (*named, *(f"{run}/{name}" for name in own)):
            status, _, said = metadescent(*words.format(run).split(), place)
            why = f"metadescent: cannot write {place}: it is read from{DOUBT}"
            assert (status, said) == (2, why)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    "words",
    ["evaluate r quadratic --json x.svg --plot x.png", "evaluate r quadratic --json - --plot -"],
)
def test_two_results_have_two_places(words: str, here: Path, metadescent: Callable) -> None:
    assert metadescent(*words.split())[2].endswith(f"it is to be written twice{DOUBT}")


@pytest.mark.usefixtures("idle")
def test_a_picture_of_a_function_that_cannot_be_replaced(here: Path, metadescent: Callable) -> None:
    for name in ("x/function-0.png", "y/function-12.svg", "z/histories.png"):
        (here / name).mkdir(parents=True)
        folder = str(Path(name).parent)
        status, _, said = metadescent("visualize", "r", "quadratic", "--out", folder)
        assert (status, said) == (2, f"metadescent: cannot write {name}: Is a directory{DOUBT}")


MEMBERS = [
    ("q", ""),
    ("q/seed-1", "--seeds 2"),
    ("q/search/trial-1", "--search 2"),
    ("q/steps-8", "--curriculum 4,8"),
]


@pytest.mark.parametrize(("member", "more"), MEMBERS)
@pytest.mark.parametrize("name", ["metrics.jsonl", "optimizer.safetensors", "checkpoints"])
@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "link"])
def test_all_that_a_run_will_write_is_looked_at_before_it_computes(
    member: str, more: str, name: str, kind: str, train: Callable, here: Path, monkeypatch: Any
) -> None:
    if (kind, name == "checkpoints") in [("file", False), ("folder", True)]:
        return  # as it should be
    # What compiles.
    monkeypatch.setattr(fit, "footprint", None)
    place = here / member / name
    place.parent.mkdir(parents=True)
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("nowhere" if name == "checkpoints" else name)
    else:
        place.touch()
    status, out, said = train("--out", "q", *more.split())
    assert (status, out) == (2, "")
    assert said.startswith(f"metadescent: cannot write {member}/{name}: ")
    assert said.endswith(DOUBT)


def test_beside_a_pipe_there_is_no_place(here: Path, metadescent: Callable) -> None:
    for flag in (["--compare"], ["--frames", "1"]):
        status, _, said = metadescent("stylize", "a.png", "b.png", "--out", "-", *flag)
        assert status == 2
        assert "--frames and --compare write beside /dev/stdout" in said


def test_a_link_that_leads_nowhere_is_not_written_through(
    tmp_path: Path, metadescent: Callable
) -> None:
    (tmp_path / "mine.py").symlink_to("elsewhere.py")
    assert "already there" in metadescent("new-problem", "mine")[2]
    assert not (tmp_path / "elsewhere.py").exists()


def test_a_demo_forgets_no_run_but_its_own(
    trained: tuple[Path, str, str], tmp_path: Path, metadescent: Callable
) -> None:
    kept = shutil.copytree(trained[0], tmp_path / "d" / "quadratic-lstm")
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    status, _, said = metadescent("demo", "--out", "d", "--epochs", "1", "--seeds", "2")
    assert status == 2
    assert "holds another run than a demo's" in said
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


def test_training_over_another_s_optimizer_is_refused(train: Callable, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "optimizer.safetensors").write_bytes(b"precious")
    for more in ([], ["--seeds", "2"], ["--curriculum", "4,8"], ["--resume"]):
        status, _, said = train("--out", "o", *more)
        assert status == 2
        assert "o holds optimizer.safetensors, and no config.json says" in said
    assert os.listdir(tmp_path / "o") == ["optimizer.safetensors"]


PROGRAM = "from metadescent.cli import main; main()"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["-", "/dev/stdout", "link", "/dev/fd/7"])
def test_json_into_what_is_no_file(place: str, here: Path) -> None:
    (here / "link").symlink_to("/dev/stdout")
    words = "evaluate r quadratic --steps 4 --seeds 3 --tune-seeds 12 --against sgd --json"
    line = f"'{sys.executable}' -c '{PROGRAM}' {words} {place}"
    line = f"{line} 7>&1 >/dev/null" if "fd" in place else line
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, encoding="utf-8", cwd=here, check=True
    )
    assert set(json.loads(done.stdout)["curves"]) == {"r", "sgd"}
    assert "fd" in place or "sgd: rate" in done.stderr
    assert (here / "link").is_symlink()
