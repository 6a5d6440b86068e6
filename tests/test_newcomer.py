"""A newcomer's tries, each with what README.md itself says, in small.

Other files have the rest: `cli/test_demo.py` the demo, `cli/test_stylize.py` pictures of 3:2, whose
sides are kept, and `cli/test_reproduce.py` a figure with small optimizers.
"""

import io
import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import metadescent as package
from metadescent import cli
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import Tuned
from metadescent.problems.data import data_dir
from metadescent.runs.log import read_metrics
from metadescent.runs.report import comparison_table
from metadescent.runs.signals import Patience, Stopped

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SMALL = {
    "train": "--optimizer 'lstm(layers=(2,), p=None)' --steps 2 --unroll 2 --problems 2 "
    "--epochs 2 --episodes 2 --validation-problems 2",
    "evaluate": "--steps 2 --seeds 2 --tune-seeds 2 --against sgd",
    "report": "--seeds 2 --against sgd",
}


class Said(NamedTuple):
    """What a command has come to."""

    status: int
    out: str
    errors: str


def words_of(pattern: str) -> list[str]:
    """The words after `metadescent` of the one command of README.md that a pattern finds."""
    (line,) = set(re.findall(pattern, README))
    return shlex.split(line, comments=True)


def do(*words: str) -> Said:
    """Be `metadescent …`."""
    status, out, errors = 0, io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            cli.main(words)
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Said(status, out.getvalue(), errors.getvalue())


def test_the_demo_s_table_has_the_columns_that_are_shown() -> None:
    (shown,) = re.findall(r"^( +speed-up .*(?:\n    \S.*)+)", README, re.MULTILINE)
    heading, *rows = ([*re.split(r"  +", line.strip())] for line in shown.splitlines())
    mine, adam = (Curve(*np.full((3, 20), x), diverged=1) for x in (1.0, 2.0))
    curves = {"LSTM": mine, "adam": adam._replace(rate=0.1)}
    tuned = {"adam": Tuned(0.1, [0.01, 0.1, 1.0], [1.0, 0.0, 1.0], "mean")}
    columns, _ = comparison_table(Comparison("quadratic", 20, 3, curves, tuned, 0.0))
    assert [column for column in columns if column in heading] == heading
    assert [name for name, *_ in rows] == ["LSTM", "untrained (behind)", "adam", "lbfgs (best)"]
    assert all(len(row) == len(heading) + 1 for row in rows)


def test_one_line_of_optax_changes_and_the_loss_is_lower() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    ((after, before),) = re.findall(r"^optimizer = (.+?)  # before: (.+)$", code, re.MULTILINE)
    losses = []
    for rule in (before, after):
        names: dict[str, Any] = {"__name__": "readme"}

        exec(code.replace(after, rule).replace("print(loss)", "").replace("(100)", "(30)"), names)
        losses.append(float(names["loss"]))
    assert losses[1] < losses[0]


@pytest.fixture(scope="module")
def torch() -> Any:
    """PyTorch, with all that it imports and compiles at a first step, which is no test's fault."""
    torch = pytest.importorskip("torch")
    theta = torch.nn.Parameter(torch.zeros(1))
    theta.grad = torch.ones(1)
    for rule in (torch.optim.Adam([theta]), package.torch.LearnedOptimizer([theta], "mnist-lstm")):
        rule.step()
    return torch


def test_one_line_of_pytorch_changes_and_the_loss_is_lower(torch: Any) -> None:
    lines = re.findall(r"^    optimizer = (.+?) +# (before|after)$", README, re.MULTILINE)
    assert [when for _, when in lines] == ["before", "after"]
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(128, 8, generator=draw)
    y = x[:, :4].argmax(1)
    losses = []
    for rule, _ in lines:
        torch.manual_seed(0)
        layers = torch.nn.Linear(8, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 4)
        model = torch.nn.Sequential(*layers)
        optimizer = eval(rule, {"torch": torch, "metadescent": package, "model": model})
        for _ in range(60):
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0] < 1.4


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Said]]:
    """A family of one's own, by README's commands in their order, each in small, and what is said.

    Ctrl-C is pressed in the first epoch; the run is then gone on with and extended.
    """
    import pooch

    folder, check = tmp_path_factory.mktemp("family"), Patience.check
    on_sigterm = signal.getsignal(signal.SIGTERM)

    def stop(patience: Patience, what: str) -> None:
        patch.setattr(Patience, "check", check)
        raise Stopped(signal.SIGINT, what)

    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.setattr(pooch, "os_cache", lambda project: folder / "cache" / project)
        said = {"new-problem": do(*words_of(r"(?m)^metadescent (new-problem .*)$"))}
        for command in SMALL:
            words = words_of(rf"(?m)^metadescent ({command} .*)$")
            if command == "train":
                patch.setattr(Patience, "check", stop)
            said[command] = do(*words, *shlex.split(SMALL[command]))
            if command == "train":
                said["resume"] = do(*words_of(r"# Ctrl-C, then: (train .*)"))
                said["again"] = do(*words_of(r"# Ctrl-C, then: (train .*)"))
                (more,) = re.findall(r"metadescent (train .*) gives it more", said["again"].errors)
                said["extend"] = do(*shlex.split(more))
        signal.signal(signal.SIGTERM, on_sigterm)
        yield said


def test_a_family_of_one_s_own_is_learned_from_the_file_as_it_is(family: dict[str, Said]) -> None:
    assert family["new-problem"].status == 0
    assert Path("my_problem.py").is_file()
    # The commands that it names are README's.
    for line in family["new-problem"].out.splitlines()[1:]:
        assert line.strip() in re.sub(r" {2,}", " ", README) or "runs/my_problem" in line
    assert {name: said.status for name, said in family.items() if said.status} == {"train": 130}


def test_it_is_gone_on_with_by_the_command_that_readme_and_the_stop_name(
    family: dict[str, Said],
) -> None:
    again = shlex.join(["metadescent", *words_of(r"# Ctrl-C, then: (train .*)")])
    assert family["train"].errors.endswith(f"go on with {again}\n")
    assert "Best validation loss" in family["resume"].out
    assert "has had its 2 epochs" in family["again"].errors


def test_it_is_extended_by_the_command_that_the_finished_run_names(
    family: dict[str, Said],
) -> None:
    assert "is extended from 2 epochs to 4" in family["extend"].errors
    assert [line["epoch"] for line in read_metrics(Path("runs/mine"))] == [1, 2, 3, 4]


def test_it_is_evaluated_in_a_table_and_one_sentence(family: dict[str, Said]) -> None:
    *table, sentence = family["evaluate"].out.splitlines()
    assert any(line.split()[:1] == ["mine"] for line in table)
    assert any(line.split()[:1] == ["sgd"] for line in table)
    assert sentence.startswith("mine ")
    assert "it was trained on my_problem.py:my_problem, and this is" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1300])
def test_its_report_is_shown_by_a_browser_without_a_word(
    family: dict[str, Said], browse: Callable, width: int, dark: bool
) -> None:
    (path,) = re.findall(r"Report: (.*)", family["report"].out)
    seen, said = browse(Path(path), width, dark=dark)
    assert said == []
    assert seen.pop("heading").startswith("Meta-training on my_problem.py:my_problem")
    assert seen == {"fits": True, "images": True, "dark": dark, "width": width}


@pytest.mark.slow
def test_a_figure_of_the_paper_in_seconds(metadescent: Callable) -> None:
    if not (data_dir() / "mnist").is_dir():
        pytest.skip("MNIST is not there")
    words = words_of(r"`metadescent (reproduce [^`]*)`")
    status, out, said = metadescent(*words, "--budget", "smoke", "--json", "f.json")
    assert status == 0, said
    assert Path("runs", "figure4.png").stat().st_size > 10_000
    assert json.loads(Path("f.json").read_text(encoding="utf-8"))["figure"] == "figure4"
    # So small a run does not judge the paper.
    assert "not judged" in out
    assert "A smoke run shows that figure4 can be made" in out
