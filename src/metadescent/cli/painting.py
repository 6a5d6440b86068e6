"""`stylize` with a picture as θ: what optimizers do to it, and which pictures are kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._text import nearest, number
from metadescent.cli.console import Reporter, output, progress, table
from metadescent.cli.stylize import Stylize
from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import Curve
from metadescent.descent.trace import Visited, curve_of, descend
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.film import write_film
from metadescent.figures.output import save_figure
from metadescent.figures.paper.styling import OPTIMIZERS
from metadescent.figures.strip import Labelled, draw_strip
from metadescent.figures.style import label_of
from metadescent.problems.data.content import content_path, style_path
from metadescent.problems.data.pictures import read_picture, write_picture
from metadescent.problems.neural_art.neural_art import NeuralArt, StyledPicture, to_pixels
from metadescent.problems.neural_art.tiny_imagenet import network
from metadescent.runs.own import load
from metadescent.zoo.hub_names import on_hub

FRAMES = 64


def paint(command: Stylize) -> None:
    """Do what the command asks for."""
    command = replace(command, optimizer=command.optimizer or OPTIMIZERS[command.net])
    names = [command.optimizer]
    if command.compare:
        known = [name for name, baseline in BASELINES.items() if baseline.usual_rate is not None]
        names += [name for name in known if name != command.optimizer]
    # A given rate is only for the given optimizer.
    rules = {
        name: _rule(name, command.rate if i == 0 else None, command.steps)
        for i, name in enumerate(names)
    }
    f, style = problem_of(command)
    film: list[np.ndarray] = []
    with progress("stylize", command.steps * len(rules)) as report:
        best, curve = _run(command, f, command.optimizer, rules[command.optimizer], report, film)
        if not np.isfinite(curve.mean).any():
            what = "a lower --rate" if command.optimizer in BASELINES else "another optimizer"
            raise UserError(f"the loss is not finite under {command.optimizer}; try {what}")
        reached, curves = {command.optimizer: best}, {command.optimizer: curve}
        for name in names[1:]:
            reached[name], curves[name] = _run(command, f, name, rules[name], report, [])
    picture = to_pixels(best.theta)
    write_picture(command.out, picture)
    output().print(f"Styled picture: {command.out}")
    if not film or (film[-1] != picture).any():
        film.append(picture)
    for path in command.in_between()[1]:
        write_film(path, film)
        output().print(f"Film of {len(film)} frames: {path}")
    if command.compare:
        _compare(command, np.asarray(f.content), style, reached, curves)


def reported(
    way: Iterator[Visited],
    name: str,
    command: Stylize,
    report: Reporter,
    film: list[np.ndarray],
) -> Iterator[Visited]:
    """Pass on each visited θ with a report; write the frames that are asked for, and the film."""
    numbered, films = command.in_between()
    # By default a film has as many frames as can be seen in five seconds.
    every = numbered or (-(-command.steps // FRAMES) if films else 0)
    if name != command.optimizer:
        every = 0
    done = due = 0
    for visited in way:
        report(f"{name}, loss {number(float(visited.loss))}", visited.gradients - done)
        done = visited.gradients
        if every and done >= due and np.isfinite(visited.loss):
            picture = to_pixels(visited.theta)
            if numbered:
                write_picture(command.beside(f"{done:04d}"), picture)
            if films:
                film.append(picture)
            # A line search takes several gradients at a time, and may pass a frame that is due.
            due = (done // every + 1) * every
        yield visited
    report(f"{name} is done", command.steps - done)


def _run(
    command: Stylize,
    f: StyledPicture,
    name: str,
    rule: tuple[AnyOptimizer, float | None],
    report: Reporter,
    film: list[np.ndarray],
) -> tuple[Visited, Curve]:
    """Return the best θ that an optimizer visits, and its learning curve."""
    m, rate = rule
    key = jax.random.key(command.seed)
    way = descend(m, f, f.init(key), key, num_gradients=command.steps)
    visits = reported(way, name, command, report, film)
    best = next(visits)
    steps = [best]
    for visited in visits:
        # θ is dropped, because many large pictures would fill the memory.
        steps.append(visited._replace(theta=None))
        if visited.loss < best.loss:
            best = visited
    losses = curve_of(steps, command.steps)
    return best, Curve(losses, losses, losses, rate)


def problem_of(command: Stylize) -> tuple[StyledPicture, np.ndarray]:
    """Return f, and the style's picture; pictures are halved in a way that leaves no grid."""
    features = network(command.net, command.data_dir, smooth=True)
    paths = content_path(str(command.content)), style_path(str(command.style), command.data_dir)
    content, style = (read_picture(path, command.size, features.least_size) for path in paths)
    problem = NeuralArt(
        features,
        content[None],
        style,
        alpha=command.alpha,
        beta=command.beta,
        gamma=command.gamma,
        start=command.start,
    )
    return eqx.filter_jit(NeuralArt.of)(problem, problem.contents[0]), style


def _rule(name: str, rate: float | None, steps: int) -> tuple[AnyOptimizer | Any, float | None]:
    """Return an optimizer by name, and its rate if it has one."""
    if name in BASELINES:
        chosen = BASELINES[name].usual_rate if rate is None else rate
        if chosen is None:
            raise UserError(f"no rate of {name} was tried out on pictures; try --rate 0.05")
        return BASELINES[name].at(chosen, steps), chosen
    if rate is not None:
        raise UserError(f"{name} has no rate; leave --rate out or take {', '.join(BASELINES)}")
    try:
        return load(name), None
    except UserError as error:
        known = [*BASELINES, *zoo.names()]
        # The name exists, so the error is about something else.
        if name in known or on_hub(name) or Path(name).exists():
            raise
        raise UserError(f"there is no optimizer {name!r}; {nearest(name, known)}") from error


def _compare(
    command: Stylize,
    content: np.ndarray,
    style: np.ndarray,
    reached: dict[str, Visited],
    curves: dict[str, Curve],
) -> None:
    """Write the strip of pictures and the learning curves, and print the final losses."""
    losses = {name: number(float(best.loss)) for name, best in reached.items()}
    results = [
        Labelled(to_pixels(best.theta), (label_of(name, {}), f"loss {losses[name]}"))
        for name, best in reached.items()
    ]
    strip_path = command.beside("strip")
    given = [Labelled(content, ["content"]), Labelled(style, ["style"])]
    write_picture(strip_path, draw_strip([*given, *results]))
    drawn = draw_curves([Panel(curves, x_label="Gradients evaluated")])
    curve_paths = save_figure(drawn, command.beside("curves").with_suffix(""))
    rows = [
        [name, number(curve.rate), losses[name], number(curve.final)]
        for name, curve in curves.items()
    ]
    height, width, _ = content.shape
    title = f"{width} × {height} pixels, {command.steps} gradients"
    output().print(table(title, ["", "rate", "least loss", "last loss"], rows))
    output().print(f"All pictures: {strip_path}\nLearning curves: {curve_paths[-1]}")
