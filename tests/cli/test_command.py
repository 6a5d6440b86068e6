"""Commands are found, and their help explains every flag in no time."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from metadescent import cli
from metadescent.cli.command import Command, commands
from metadescent.cli.train import Train
from metadescent.cli.words import Optimizer, Problem, Run
from metadescent.meta.schedule import Schedule
from metadescent.runs.recipe import Recipe

COMMANDS = commands()


def words(text: str) -> str:
    """The text without the boxes that it is drawn in, on one line."""
    return " ".join(re.sub(r"[╭╮╰╯─│•|+]+|-{3,}", " ", text).split())


def flags(command: type) -> Iterator[str]:
    """Every flag of a command, those of the recipe included."""
    for field in fields(command):
        if field.name == "recipe":
            yield from flags(Recipe)
        elif "Positional" not in str(field.type) and field.type not in POSITIONAL:
            yield "--" + field.metadata.get("flag", field.name).replace("_", "-")


POSITIONAL = (Problem, Optimizer, Run)


def test_help_names_every_command(metadescent: Callable) -> None:
    status, out, _ = metadescent("--help")
    assert status == 0
    assert len(COMMANDS) >= 7
    for name, kind in COMMANDS.items():
        assert f"{name} {words(kind.__doc__)}" in words(out)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_every_flag(command: str, metadescent: Callable) -> None:
    status, out, _ = metadescent(command, "--help")
    assert status == 0
    for flag in flags(COMMANDS[command]):
        # The flag, its negation or its kind of value, and then what it is for.
        kind = r"(?:, --no-\S+| [A-Z]+\b| NAME,…| \{\S+\})?"
        assert re.search(rf"{flag}{kind} (?!\().+? \((?:default|required)", words(out)), flag


def test_help_of_train_lists_all_of_the_recipe() -> None:
    assert set(flags(Train)) >= {
        "--meta-rate",
        "--unroll",
        "--out",
        "--resume",
        "--search",
        "--form",
        "--estimator",
        "--curriculum",
        "--validation-steps",
        "--least-epochs",
        "--memory-budget",
    }


QUICK = """
import sys
from metadescent.cli import main
for words in [[], *([name] for name in {commands})]:
    try:
        main([*words, "--help"])
    except SystemExit as stop:
        assert stop.code == 0, words
heavy = {{"jax", "equinox", "optax", "numpy", "scipy", "matplotlib", "pooch"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_imports_nothing_heavy() -> None:
    program = QUICK.format(commands=list(COMMANDS))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


GREET = """
from dataclasses import dataclass
from metadescent.cli.command import Command
# Another file's command is not listed twice.
from metadescent.cli.tune import Tune

@dataclass(frozen=True)
class GreetTwice(Command):
    \"\"\"Say hello.\"\"\"

    name: str = "world"
    \"\"\"Whom to.\"\"\"

    def run(self):
        print(2 * f"Hello, {self.name}. ")
"""


def test_a_command_is_one_file(
    metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greet.py").write_text(GREET)
    room = list(cli.__path__)
    monkeypatch.setattr(cli, "__path__", [*room, str(tmp_path)])
    try:
        assert list(commands()) == [*COMMANDS, "greet-twice"]
        assert metadescent("greet-twice", "--name", "you") == (0, 2 * "Hello, you. " + "\n", "")
        assert "greet-twice Say hello." in words(metadescent("--help")[1])
    finally:
        sys.modules.pop("metadescent.cli.greet", None)
        vars(cli).pop("greet", None)
    monkeypatch.setattr(cli, "__path__", room)
    assert commands() == COMMANDS


def test_every_command_is_a_frozen_dataclass_that_runs() -> None:
    for kind in COMMANDS.values():
        assert kind.__dataclass_params__.frozen
        assert kind.run is not Command.run


def test_help_begins_with_what_a_stranger_needs() -> None:
    assert list(COMMANDS)[:4] == ["list", "demo", "new-problem", "train"]


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_terminal_and_breaks_no_word(
    command: str, columns: int, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    status, out, _ = metadescent(*filter(None, [command]), "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= columns
    sentence = COMMANDS[command].__doc__ if command else "--version says which one it is."
    assert f" {sentence} " in f" {' '.join(re.split('[╭+]', out)[0].split())} "


@pytest.mark.parametrize("kind", [*COMMANDS.values(), Recipe, Schedule])
def test_the_words_on_a_flag_are_one_line(kind: type) -> None:
    # Where another begins tyro ends a line, wherever that is on the screen.
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body[1:]:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            assert "\n" not in str(node.value.value)
