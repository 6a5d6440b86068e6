"""The command line: what it takes words to mean, what it says to wrong ones, how it ends."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import pooch
import pytest

from metadescent import cli, registry
from metadescent.cli.command import commands
from metadescent.cli.list import List
from metadescent.registry import problems, recipe_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import Terminated
from metadescent.zoo import catalogue
from metadescent.zoo.tensors import NO_CHECKSUM, sealed

PHI = jax.numpy.ones(0).dtype  # of a φ that is drawn; float64 with JAX's 64 bits on


def words(text: str) -> str:
    """The text without the boxes that it is drawn in, on one line."""
    return " ".join(re.sub(r"[╭╮╰╯─│•|+]+|-{3,}", " ", text).split())


@pytest.mark.parametrize("problem", problems())
def test_the_defaults_of_train_are_the_recipe_of_its_problem(problem: str) -> None:
    command = cli._parse(["train", problem])
    assert command.problem == problem
    assert command.recipe == replace(Recipe(), **recipe_of(problem))


def test_flags_go_before_the_recipe_of_the_problem() -> None:
    optimizer = "lstm(layers=(4,), p=None)"
    parsed = cli._parse(["train", "quadratic", "--problems", "7", "--optimizer", optimizer])
    assert parsed.recipe == replace(
        Recipe(), **{**recipe_of("quadratic"), "problems": 7, "optimizer": optimizer}
    )


def test_a_sum_of_problems_has_the_recipe_of_its_first() -> None:
    both = "mnist + convex(dimension=3)"
    command = cli._parse(["train", both])
    assert command.problem == both
    assert command.recipe == replace(Recipe(), **recipe_of("mnist"))


def test_flags_may_come_before_the_problem() -> None:
    before, after = (
        cli._parse(["train", *order])
        for order in (["--seed", "3", "mnist"], ["mnist", "--seed", "3"])
    )
    assert before == after


def test_options_of_a_problem_do_not_change_its_recipe() -> None:
    assert cli._parse(["train", "quadratic(dimension=3)"]).recipe.problems == 128


def test_a_problem_from_elsewhere_has_the_recipe_of_the_paper() -> None:
    assert cli._parse(["train", "file.py:Mine"]).recipe == Recipe()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What JAX is told, where no variable says where to keep what it compiles."""
    found: dict[str, Any] = {}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setattr(jax.config, "update", found.__setitem__)
    return found


def test_what_is_compiled_is_kept_in_the_cache_folder(
    told: dict[str, Any], metadescent: Callable, tmp_path: Path
) -> None:
    assert metadescent("list")[0] == 0
    folder = tmp_path / "cache" / "metadescent" / "jax"
    assert told == {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    assert folder.is_dir()


def test_where_to_keep_it_is_the_user_s_to_say(
    told: dict[str, Any], metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert metadescent("list")[0] == 0
    assert told == {}


def test_without_a_folder_to_write_nothing_is_kept(
    told: dict[str, Any],
    metadescent: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert metadescent("list")[0] == 0
    (tmp_path / "cache" / "metadescent" / "jax").rmdir()
    (tmp_path / "cache" / "metadescent" / "jax").write_text("in the way")
    assert metadescent("list")[0] == 0
    assert told == {}


@pytest.mark.slow
def test_a_second_run_compiles_nothing_that_the_first_did(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    kept = []
    for out in "ab":
        words = ["train", "quadratic", "--epochs", "1", "--episodes", "1", "--out", out]
        program = [sys.executable, "-c", "from metadescent.cli import program; program()", *words]
        done = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        kept.append({path.name for path in tmp_path.glob("metadescent/jax/*-cache")})
    assert kept[0] == kept[1]
    assert any(name.startswith("jit__train_epoch-") for name in kept[0])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train quadratc", "there is no problem named 'quadratc'; did you mean 'quadratic'?"),
        ("evaluate M mnits", "there is no problem named 'mnits'; did you mean 'mnist'?"),
        ("tune sgd digit", "there is no problem named 'digit'; did you mean 'digits'?"),
        (
            "train quadratic(dimensoin=3)",
            "quadratic has no option 'dimensoin'; did you mean 'dimension'?",
        ),
        (
            "train quadratic --memory-budget plenty",
            "'plenty' is no amount of memory; try 2GiB or 500MB",
        ),
        (
            "train quadratic(dimension=3",
            "cannot read 'quadratic(dimension=3'; write options like quadratic(dimension=20), "
            "values as literals",
        ),
        (
            "train quadratic(dimension=n)",
            "cannot read 'quadratic(dimension=n)'; write options like quadratic(dimension=20), "
            "values as literals",
        ),
        (
            "train quadratic --optimizer lstn",
            "there is no optimizer named 'lstn'; did you mean 'lstm'?",
        ),
        (
            "train quadratic --optimizer lstm(layer=(2,))",
            "lstm has no option 'layer'; did you mean 'layers'?",
        ),
        (
            "train quadratic --estimator pse",
            "there is no estimator named 'pse'; did you mean 'pes'?",
        ),
        (
            "train quadratic --estimator pes(sdt=0.1)",
            "pes has no option 'sdt'; did you mean 'std'?",
        ),
        (
            "train quadratic --curriculum 100,many",
            "'100,many' are no horizons; try 100,200,500,1000",
        ),
        (
            "train quadratic --steps 90",
            "the horizon of 90 steps is not a multiple of the unroll of 20; try --steps 80",
        ),
        ("train nowhere.py:Mine", "there is no file nowhere.py; give the path of a Python file"),
        (
            "train no_such_module:Mine",
            "cannot import 'no_such_module': No module named 'no_such_module'; is it installed?",
        ),
        (
            "evaluate M quadratic --against sgd,addam",
            "there is no baseline 'addam'; did you mean 'adam'?",
        ),
        ("tune addam quadratic", "there is no baseline 'addam'; did you mean 'adam'?"),
        ("reproduce figur4", "there is no experiment named 'figur4'; did you mean 'figure4'?"),
        (
            "train quadratic --optimizer optax.adam(learning_rate=0.1)",
            "the optimizer has no parameters φ to train; try lstm, or tune its rate",
        ),
        ("train quadratic --weigh-from 100", "weigh_from is 100 and must be from 0 to 99"),
        ("train neural-art --weigh-from 128", "weigh_from is 128 and must be from 0 to 127"),
        ("train quadratic --out M", "M is a file and a run is a folder; choose another place"),
        (
            "visualize M quadratic --against adma",
            "there is no baseline 'adma'; did you mean 'adam'?",
        ),
        ("doctor M", "M is not a run folder: its config.json is missing or damaged"),
        ("report M", "M is not a run folder: its config.json is missing or damaged"),
        (
            "stylize M M --out styled.gif",
            "'styled.gif' names no format that pictures are written in; let it end in .png, .jpg, "
            ".jpeg, .webp",
        ),
        ("stylize M M", "M is not a picture of a known format; try a JPEG or PNG"),
        (
            "convert nowhere.pth vgg19 --out v",
            "cannot read nowhere.pth: No such file or directory; check the path",
        ),
    ],
)
def test_a_wrong_name_gets_the_nearest_in_one_sentence(
    one_sentence: Callable, line: str, said: str, m: str, metadescent: Callable
) -> None:
    given = [m if word == "M" else word for word in line.split()]
    assert one_sentence(metadescent(*given)) == said.replace("M ", f"{m} ")


BROKEN = """
import jax.numpy as jnp
from metadescent import FromFunction, Optimizee, Problem

class Vector(Optimizee):
    def init(self, key):
        return jnp.ones(2)

    def loss(self, theta, key):
        return theta**2

class Vectors(Problem):
    def sample(self, key):
        return Vector()

class Lost(Vector):
    def loss(self, theta, key):
        return {}["nothing"]

class Losts(Problem):
    def sample(self, key):
        return Lost()

class Nothing(Problem):
    def sample(self, key):
        return None
"""


def test_the_version_is_told(metadescent: Callable) -> None:
    assert metadescent("--version") == (0, f"metadescent {version('metadescent')}\n", "")


def test_an_error_in_a_file_of_the_user_s_is_no_mistake_of_this_program(
    metadescent: Callable, tmp_path: Path, one_sentence: Callable
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(LATE)
    problem = registry.make_problem(f"{path}:late")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "make_problem", lambda *_: problem.break_now())
        assert one_sentence(metadescent("tune", "sgd", "quadratic")) == (
            f"{path}, line 11, in break_now: KeyError: 'late'; mend it, --debug shows more"
        )


LATE = """
import jax.numpy as jnp
from metadescent import FromFunction

class Late(FromFunction):
    def __init__(self):
        super().__init__(lambda theta, key: jnp.sum(theta**2), lambda key: jnp.ones(2))

    def break_now(self):
        table = {}
        return table["late"]

late = Late()
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Losts", "mine.py:Losts does not work, KeyError: 'nothing'; mend it, --debug shows where"),
        (
            "Nothing",
            "mine.py:Nothing: what Nothing.sample returns is None and must be a "
            "metadescent.Optimizee; try metadescent.FromFunction(loss, init)",
        ),
    ],
)
def test_a_problem_of_one_s_own_that_does_not_work_is_named(
    one_sentence: Callable, name: str, said: str, metadescent: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    for line in (f"train mine.py:{name}", f"tune sgd mine.py:{name}"):
        assert one_sentence(metadescent(*line.split())) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
    ],
)
def test_a_file_of_one_s_own_that_cannot_be_run_is_named(
    one_sentence: Callable, text: str, said: str, metadescent: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert one_sentence(metadescent("train", "mine.py:Mine")) == (
        f"mine.py cannot be imported, {said}; mend it, --debug shows where"
    )


@pytest.mark.parametrize(
    ("command", "neither"),
    [
        (["evaluate", "quadratic-lsmt", "quadratic"], "pretrained optimizer and no file"),
        (["inspect", "quadratic-lsmt"], "pretrained optimizer, no file and no problem"),
    ],
)
def test_a_wrong_optimizer_gets_the_nearest_pretrained_one(
    one_sentence: Callable,
    command: list[str],
    neither: str,
    m: str,
    metadescent: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(m).rename(Path(m).with_name("quadratic-lstm.safetensors"))
    monkeypatch.setattr(catalogue, "FOLDER", Path(m).parent)
    assert one_sentence(metadescent(*command)) == (
        f"there is no {neither} 'quadratic-lsmt'; did you mean 'quadratic-lstm'?"
    )


def test_a_wrong_flag_gets_the_nearest(metadescent: Callable) -> None:
    status, out, said = metadescent("train", "quadratic", "--meta-raet", "3")
    assert (status, out) == (2, "")
    assert "Unrecognized options: --meta-raet" in words(said)
    assert "Perhaps you meant: --meta-rate FLOAT" in words(said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluat", "Unrecognized options: evaluat"),
        ("evaluat", "Available subcommands: list, demo, new-problem, train,"),
        ("", "Missing subcommand"),
        ("train", "Missing from metadescent train: PROBLEM"),
        ("train quadratic --epochs many", "Error parsing --epochs"),
        ("reproduce figure4 --budget smok", "Expected one of ('smoke', 'cpu', 'paper')"),
    ],
)
def test_words_that_make_no_command_are_told_what_does(
    line: str, said: str, metadescent: Callable
) -> None:
    status, out, found = metadescent(*line.split())
    assert (status, out) == (2, "")
    assert said in words(found)


def test_wrong_words_leave_nothing_behind(metadescent: Callable, tmp_path: Path) -> None:
    for line in ("train quadratc", "train quadratic --meta-raet 3", "evaluate m q", "reproduce x"):
        assert metadescent(*line.split())[0] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        *(
            f"train quadratic {flag} 0"
            for flag in ("--steps", "--unroll", "--epochs", "--episodes")
        ),
        "train quadratic --problems 0",
        "train quadratic --validation-problems 0 --steps 2 --unroll 2 --episodes 1 --problems 1",
        *(f"train quadratic {flag} -1" for flag in ("--search", "--coordinates", "--unroll")),
        "evaluate M quadratic --seeds 0 --steps 2 --against sgd",
        "evaluate M quadratic --steps 0 --against sgd",
        "tune sgd quadratic --seeds 0 --steps 2",
        "train quadratic(dimension=0)",
        "train digits(activation='sigmod')",
    ],
)
def test_a_number_that_cannot_be_is_refused_in_one_sentence(
    one_sentence: Callable, line: str, m: str, metadescent: Callable, tmp_path: Path
) -> None:
    given = [m if word == "M" else word for word in line.split()]
    assert one_sentence(metadescent(*given))
    assert [path.name for path in tmp_path.iterdir()] == [Path(m).name]


def resealed(data: bytes) -> bytes:
    """The file with the checksum that is right for it."""
    found = re.search(rb'sha256\\": \\"([0-9a-f]{64})', data)
    assert found
    return sealed(data.replace(found[1], NO_CHECKSUM.encode()))


@pytest.mark.parametrize("command", [["inspect", "F"], ["evaluate", "F", "quadratic"]])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda data: data[:100], "F is truncated or not a .safetensors: its header"),
        (lambda data: data[:-1], "F is damaged ("),
        (lambda data: b"", "F is not a file that metadescent wrote; it must be a .safetensors"),
        (lambda data: b"PK\3\4" + data, "F is truncated or not a .safetensors"),
        (lambda data: data.replace(b"cells", b"sells"), "F is damaged: its SHA-256 is "),
        (
            lambda data: resealed(data.replace(b"cells", b"sells")),
            "F lacks the leaf 'cells/0/weight_ih'",
        ),
        (
            lambda data: resealed(data.replace(b"layers=(4,)", b"layers=(3,)")),
            f"leaf 'cells/0/weight_ih' of F is {PHI}[16, 1] where {PHI}[12, 1] is expected",
        ),
        (lambda data: data.replace(b"lstm(", b"lstn("), "there is no optimizer named 'lstn'"),
    ],
)
def test_a_file_that_is_no_optimizer_is_refused_in_one_sentence(
    one_sentence: Callable,
    content: Callable[[bytes], bytes],
    said: str,
    command: list[str],
    m: str,
    metadescent: Callable,
) -> None:
    file = Path(m)
    file.write_bytes(content(file.read_bytes()))
    given = [m if word == "F" else word for word in command]
    assert one_sentence(metadescent(*given)).startswith(said.replace("F", m))


def test_missing_data_are_named_with_where_from_and_where_to(
    one_sentence: Callable, metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retrieve(url: str, **_: Any) -> str:
        raise ConnectionError(url)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setenv("METADESCENT_DATA", str(tmp_path / "data"))
    name = "train-images-idx3-ubyte.gz"
    for more, folder in ([], "data"), (["--data-dir", "mine"], "mine"):
        said = one_sentence(metadescent("train", "mnist", *more))
        assert said.startswith(f"{name} is missing and could not be downloaded from https://")
        assert said.endswith(
            f": put it at {tmp_path / folder / 'mnist' / name}, "
            "or set METADESCENT_DATA or --data-dir to a folder that has it."
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("stop", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "metadescent: stopped\n"),
        (Terminated(), 143, "metadescent: terminated\n"),
    ],
)
def test_a_stop_has_its_own_exit_status_and_no_traceback(
    stop: BaseException,
    status: int,
    said: str,
    metadescent: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: Any) -> None:
        raise stop

    monkeypatch.setattr(List, "run", run)
    assert metadescent("list") == (status, "", said)


def test_a_mistake_of_the_program_is_a_sentence_and_with_debug_a_traceback(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(command: object) -> None:
        del command
        raise KeyError("a\nb")

    monkeypatch.setattr(List, "run", mistaken)
    status, _, said = metadescent("list")
    assert status == 1
    assert said == (
        "metadescent: a mistake in metadescent, KeyError: 'a\\nb'; please report what --debug "
        "after the same words shows\n"
    )
    status, _, shown = metadescent("--debug", "list")
    assert status == 1
    assert shown.startswith("Traceback (most recent call last):")
    assert shown.endswith(said)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")]
)
@pytest.mark.parametrize(
    ("line", "less"),
    [
        (("list",), "a machine with more"),
        (("tune", "sgd", "quadratic"), "a smaller --seeds or --steps"),
        (("stylize", "china", "flower"), "a smaller --size or --steps"),
        (("train", "quadratic"), "fewer --problems, a shorter --unroll, or --memory-budget"),
    ],
)
def test_too_little_memory_is_said_with_flags_that_the_command_has(
    line: tuple[str, ...],
    less: str,
    error: Exception,
    metadescent: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def starved(command: object) -> None:
        del command
        raise error

    monkeypatch.setattr(commands()[line[0]], "run", starved)
    assert metadescent(*line) == (
        2,
        "",
        f"metadescent: this takes more memory than there is ({str(error) or 'MemoryError'}); "
        f"try {less}\n",
    )


@pytest.mark.parametrize("name", ["JAX_PLATFORMS", "JAX_PLATFORM_NAME"])
def test_a_platform_that_is_not_there_is_named(name: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-c", "from metadescent.cli import main; main()", "inspect", "mnist-lstm"],
        env=environment | {name: "rocm"},
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"metadescent: JAX has no device here where {name} is 'rocm'; try {name}=cpu"
    )


def test_debug_shows_where_a_sentence_comes_from(metadescent: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("numbers = [1, 2\n")
    status, _, said = metadescent("train", "mine.py:Mine")
    assert status == 2
    assert said == (
        "metadescent: mine.py cannot be imported, SyntaxError: '[' was never closed (mine.py, "
        "line 1); mend it, --debug shows where\n"
    )
    status, _, shown = metadescent("train", "mine.py:Mine", "--debug")
    assert status == 2
    assert "numbers = [1, 2" in shown
    assert shown.endswith(said)
