"""`stylize`: one picture in the style of another, by one optimizer or by all of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._text import nearest
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.console import Report, console, figure, progress, table
from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import Curve
from metadescent.descent.trace import Visited, curve_of, descend
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.figures.paper.styling import OPTIMIZERS
from metadescent.problems.data.content import content_path, style_path
from metadescent.problems.data.pictures import format_of, read_picture, write_picture
from metadescent.problems.neural_art.neural_art import NeuralArt, StyledPicture, to_pixels
from metadescent.problems.neural_art.tiny_imagenet import network

# The best of a small grid at 64 × 64, `python benchmarks/neural_art.py --only rates --steps 64`;
# L-BFGS has the usual one.
RATES = {"sgd": 3.0, "nag": 1.0, "rmsprop": 0.01, "adam": 0.05, "lbfgs": 1.0}


@run.register
def _stylize(command: arguments.Stylize) -> None:
    format_of(command.out)
    command = replace(command, optimizer=command.optimizer or OPTIMIZERS[command.net])
    names = [command.optimizer]
    if command.compare:
        names += [name for name in BASELINES if name != command.optimizer]
    rules = {name: _rule(name, command.rate if i == 0 else None) for i, name in enumerate(names)}
    f, style = _problem(command)
    with progress("stylize", command.steps * len(rules)) as report:
        best, curve = _run(command, f, command.optimizer, rules[command.optimizer], report)
        if not np.isfinite(curve.mean).any():
            what = "a lower --rate" if command.optimizer in BASELINES else "another optimizer"
            raise UserError(f"the loss is not finite under {command.optimizer}; try {what}")
        curves = {command.optimizer: curve}
        for name in names[1:]:
            _, curves[name] = _run(command, f, name, rules[name], report)
    result = to_pixels(best.theta)
    write_picture(command.out, result)
    console().print(f"Styled picture: {command.out}")
    if command.compare:
        _compare(command, np.concatenate([f.content, result, style], axis=1), curves)


def _run(
    command: arguments.Stylize,
    f: StyledPicture,
    name: str,
    rule: tuple[AnyOptimizer, float | None],
    report: Report,
) -> tuple[Visited, Curve]:
    """Return the best θ that an optimizer visits, and its learning curve."""
    m, rate = rule
    key = jax.random.key(command.seed)
    way = descend(m, f, f.init(key), key, num_gradients=command.steps)
    reported = _reported(way, name, command, report)
    best = next(reported)
    steps = [best]
    for visited in reported:
        steps.append(visited._replace(theta=None))
        if visited.loss < best.loss:
            best = visited
    losses = curve_of(steps, command.steps)
    return best, Curve(losses, losses, losses, rate)


def _problem(command: arguments.Stylize) -> tuple[StyledPicture, np.ndarray]:
    content = read_picture(content_path(str(command.content)), command.size)
    style = read_picture(style_path(str(command.style), command.data_dir), command.size)
    weights = {name: getattr(command, name) for name in ("alpha", "beta", "gamma")}
    problem = NeuralArt(
        network(command.net, command.data_dir),
        content[None],
        style,
        start=command.start,
        **{name: weight for name, weight in weights.items() if weight is not None},
    )
    return eqx.filter_jit(NeuralArt.of)(problem, problem.contents[0]), style


def _rule(name: str, rate: float | None) -> tuple[AnyOptimizer | Any, float | None]:
    """Return an optimizer by name, and its rate if it has one."""
    if name in BASELINES:
        chosen = RATES[name] if rate is None else rate
        return BASELINES[name].make(chosen), chosen
    if rate is not None:
        raise UserError(f"{name} has no rate; leave --rate out or take {', '.join(BASELINES)}")
    try:
        return zoo.load(name), None
    except UserError as error:
        known = [*BASELINES, *zoo.names()]
        if Path(name).exists():
            raise
        raise UserError(f"there is no optimizer {name!r}; {nearest(name, known)}") from error


def _reported(
    way: Iterator[Visited], name: str, command: arguments.Stylize, report: Report
) -> Iterator[Visited]:
    """Pass on what is visited, with a word on each; write the frames that are wanted."""
    every = command.frames if name == command.optimizer else 0
    done = due = 0
    for visited in way:
        report(f"{name}, loss {figure(float(visited.loss))}", visited.gradients - done)
        done = visited.gradients
        if every and done >= due:
            place = command.out.with_stem(f"{command.out.stem}-{done:04d}")
            write_picture(place, to_pixels(visited.theta))
            # A line search takes several gradients and may pass one that is due.
            due = (done // every + 1) * every
        yield visited
    report(f"{name} is done", command.steps - done)


def _compare(command: arguments.Stylize, strip: np.ndarray, curves: dict[str, Curve]) -> None:
    from metadescent.figures.curves import Panel, draw_curves
    from metadescent.figures.output import save_figure

    beside = command.out.with_stem(f"{command.out.stem}-strip")
    write_picture(beside, strip)
    panel = Panel(curves, x_label="Gradients evaluated")
    written = save_figure(draw_curves([panel]), command.out.with_name(f"{command.out.stem}-curves"))
    rows = [[name, figure(curve.rate), figure(curve.final)] for name, curve in curves.items()]
    title = f"{command.size} × {command.size} pixels, {command.steps} gradients"
    console().print(table(title, ["", "rate", "loss"], rows))
    console().print(f"Content, result and style: {beside}\nLearning curves: {written[-1]}")
