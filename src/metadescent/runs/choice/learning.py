"""An optimizer for a family of problems, all by itself: look, choose, train, judge."""

import contextlib
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import jax

from metadescent._errors import UserError, require, require_kind
from metadescent._files import is_file, locked
from metadescent.descent.comparison import Comparison
from metadescent.descent.outside import LOOKED_AT, check_start
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs import training
from metadescent.runs.choice.candidate import HELD_OUT, common_recipe
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.kept import keep_best, repeated
from metadescent.runs.choice.trial import folder_of, go_on_from, seconds_of
from metadescent.runs.choice.trials import choose
from metadescent.runs.choice.verdict import LEARNED, UNTRAINED, advice, judge
from metadescent.runs.folder import CHOICE, CONFIG, check_free, read_config
from metadescent.runs.log import read_metrics
from metadescent.runs.loggers.audience import Audience
from metadescent.runs.loggers.base import Logger
from metadescent.runs.origin import origin_of
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

LATE = 1.03
"""Training that is slower than its trial stops after this multiple of the minutes."""


class Learned(NamedTuple):
    """An optimizer, its results on fresh problems of its family, and how it was made.

    `kept` is "trained", the name of the trial whose φ was better, or "as it begins" where no
    training was of use. `recipe` makes it without the search, or is what its training had.
    `advice` has sentences on who won, and on whether the optimizer is worth using.
    """

    optimizer: LearnedOptimizer
    comparison: Comparison
    kept: str
    recipe: Recipe
    trials: list[Result]
    advice: list[str]

    def plot(self) -> Any:
        """Return a figure of the learning curves."""
        return self.comparison.plot()

    def _repr_html_(self) -> str:
        return self.comparison._repr_html_() + "".join(f"<p>{line}</p>" for line in self.advice)


def learn(
    problem: Problem,
    *,
    minutes: float = 10.0,
    steps: int = 100,
    seed: int = 0,
    folder: Path | str | None = None,
    loggers: Sequence[Logger] = (),
) -> Learned:
    """Learn an optimizer for a problem; trials find which rule to train, and how.

    Arguments:
        problem: p(f).
        minutes: for the look at the problem, the trials and the training; the verdict is extra.
        steps: the horizon that it is learned for.
        seed: of everything that is drawn.
        folder: keeps the run, so that it can go on after a stop; nothing is kept if not given.
        loggers: are told of the training by the chosen recipe; the epochs of its trial are among
            the earlier ones. They are not told of the other trials.

    Raises:
        UserError: if a number means nothing, f or ∇f is not finite at θ₀, ∇f is 0 there, f is not
            finite on some tasks with any rule, or the folder holds another run.

    Source: ours; successive halving is from Jamieson and Talwalkar (2016), "Non-stochastic best arm
    identification and hyperparameter optimization".

    Example:
        >>> from metadescent.problems import Quadratic
        >>> learned = learn(Quadratic(dimension=2), minutes=0.1, steps=10)  # doctest: +SKIP
        >>> learned.optimizer, learned.advice  # doctest: +SKIP
    """
    require_kind("problem", problem, Problem, "a metadescent.Problem; try FromFunction(loss, init)")
    asked = asked_for(type(problem).__name__, minutes, steps, seed)
    with contextlib.ExitStack() as stack:
        place = folder or stack.enter_context(tempfile.TemporaryDirectory())
        return learn_in(Path(place), problem, asked, loggers=loggers, warn=warnings.warn)


def asked_for(problem_name: str, minutes: float, steps: int, seed: int) -> dict[str, Any]:
    """Return what a journal is begun with, or raise a UserError if a number means nothing."""
    require("minutes", minutes, 1e-3)
    require("steps", steps, 1)
    require("seed", seed, 0, 2**32 - 1)
    return {"problem": problem_name, "steps": steps, "seed": seed, "minutes": float(minutes)}


@contextlib.contextmanager
def _silent(title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    del title, total, done
    yield lambda *_, **__: None


def learn_in(
    folder: Path,
    problem: Problem,
    asked: dict[str, Any],
    *,
    problem_name: str = "",
    bar: Callable[..., AbstractContextManager[Any]] = _silent,
    say: Callable[[Journal], object] = lambda _: None,
    warn: Callable[[str], object] = warnings.warn,
    data_dir: Path | None = None,
    loggers: Sequence[Logger] = (),
    check: Callable[[str], object] = lambda _: None,
) -> Learned:
    """Learn in a folder; what was done there before is not done again.

    `bar` makes the report of a stage from its title, its units and the units that are done. `say`
    is called once a recipe has been chosen. `check` is called whenever all is saved, with a text
    on the progress, and may stop the run.
    """
    audience = Audience(loggers, warn)
    # A choice must not begin in the folder of a run that was trained by a recipe.
    check_free(folder, resume=not is_file(folder / CONFIG) or is_file(folder / CHOICE))
    with locked(folder):
        begins = not is_file(folder / CHOICE)
        journal = Journal(folder, asked, problem_name)
        common = plan_of(common_recipe(steps=asked["steps"], seed=asked["seed"]))
        origin = origin_of(problem, common.m)
        journal.begin(origin | ({"data_dir": str(data_dir.resolve())} if data_dir else {}), warn)

        def stage(title: str, total: int) -> AbstractContextManager[Any]:
            check(f"before the stage {title!r}")
            left = max(0.0, 60 * asked["minutes"] - journal.seconds)
            return bar(f"{title} ({left / 60:.1f} min left)", total)

        try:
            if journal.look() is None:
                check_start(problem, jax.random.key(asked["seed"]), LOOKED_AT, moves=True)
            recipe = choose(folder, problem, journal, bar=stage, data_dir=data_dir, check=check)
        except UserError:
            # If f is refused, the user may mend it and give the same command again.
            if begins and journal.look() is None:
                journal.path.unlink()
            raise
    say(journal)
    if journal.get("kept") is None:
        _train(folder, problem, journal, recipe, bar, warn, data_dir, loggers, check)
        with locked(folder):
            keep_best(folder, problem, journal)
    else:
        # The loggers are told of the training that an earlier session finished.
        with audience.session(folder, read_config(folder), read_metrics(folder), lambda: True):
            pass
    seen, m = journal.look(), load(folder)
    assert seen is not None
    recipe, parts = repeated(folder, journal), problem.hold_out(HELD_OUT)
    with bar("judge", 2 * len(seen.rates) + 2) as report:
        comparison = judge(
            {LEARNED: m, UNTRAINED: plan_of(recipe).m},
            parts.judged_on,
            asked,
            seen,
            progress=lambda text: report(text, 1),
        )
    kept = journal.get("kept")[0]
    few = problem.num_tasks if parts.judged_on.num_tasks == problem.num_tasks else None
    said = advice(comparison, kept, few)
    return Learned(m, comparison, kept, recipe, journal.trials(), said)


def _train(
    folder: Path,
    problem: Problem,
    journal: Journal,
    recipe: Recipe,
    bar: Callable[..., AbstractContextManager[Any]],
    warn: Callable[[str], object],
    data_dir: Path | None,
    loggers: Sequence[Logger],
    check: Callable[[str], object],
) -> None:
    trial = folder_of(folder, journal.get("chosen"))
    if not is_file(folder / CONFIG):
        with locked(folder):
            go_on_from(trial, folder)
    late = LATE * journal.get("asked")["minutes"]
    done = len(read_metrics(folder))
    run = training.train(
        folder,
        problem,
        journal.problem_name,
        plan_of(recipe),
        resume=True,
        # Both the journal and the run count the seconds of the trial.
        minutes=max(1e-3, late - (journal.seconds - seconds_of(trial)) / 60),
        data_dir=data_dir,
        loggers=loggers,
        warn=warn,
    )
    with contextlib.closing(run), bar("train", recipe.epochs, done) as report:
        for state, _ in run:
            best = float(state.best_loss)
            report(f"time to levels {best:.2f}" if math.isfinite(best) else "", 1)
            check(f"after epoch {int(state.epoch)} of {recipe.epochs}, which is saved in {folder}")
