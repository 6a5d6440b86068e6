"""Pictures of updates: what is drawn is what was proposed, and the same bytes come out again."""

from pathlib import Path

import numpy as np
import pytest

from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.output import render, save_figure
from metadescent.figures.proposals import (
    FunctionPanel,
    HistoryPanel,
    draw_functions,
    draw_histories,
)

G = {"mine": np.sin(np.arange(20.0)), "sgd": 0.1 * np.arange(20.0), "adam": -np.ones(20)}
X = np.linspace(-2, 2, 11)
CURVES = {"mine": -np.tanh(5 * X), "sgd": -9 * X, "adam": -X / 2}
LABELS = {"mine": "LSTM"}


def function(title: str = "Step 1", **replaced: np.ndarray) -> FunctionPanel:
    actual = {name: (1.0, float(np.interp(1.0, X, y))) for name, y in CURVES.items()}
    return FunctionPanel(X, CURVES | replaced, actual, ["mine"], title, LABELS)


def test_a_history_is_drawn_step_by_step() -> None:
    figure = draw_histories(
        [HistoryPanel(G, ["mine"], "One", LABELS), HistoryPanel(G, ["mine"], "Two")]
    )
    one, two = figure.axes
    for line, expected in zip(one.lines, G.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 21))
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert (one.get_title(loc="left"), two.get_title(loc="left")) == ("One", "Two")
    assert one.get_position().y0 > two.get_position().y1
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "SGD", "Adam", "mine"]


def test_learned_is_solid_and_looks_as_it_does_among_learning_curves() -> None:
    from metadescent.descent.curves import Curve

    one = np.ones(3)
    curves = {n: Curve(one, one, one, None if n == "mine" else 0.1) for n in G}
    known = draw_curves([Panel(curves)]).axes[0].lines
    for line, expected in zip(
        draw_histories([HistoryPanel(G, ["mine"])]).axes[0].lines, known, strict=True
    ):
        assert line.get_color() == expected.get_color()
        assert line._unscaled_dash_pattern == expected._unscaled_dash_pattern


def test_a_grid_of_functions_with_what_happened_as_dots() -> None:
    figure = draw_functions([function(f"Step {t}") for t in range(1, 33)])
    assert len(figure.axes) == 32
    axes = figure.axes[5]
    assert axes.get_title(loc="left") == "Step 6"
    lines, dots = axes.lines[::2], axes.lines[1::2]
    for line, dot, expected in zip(lines, dots, CURVES.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), expected)
        assert dot.get_xdata() == [1.0]
        assert dot.get_ydata() == pytest.approx(np.interp(1.0, X, expected))
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 8
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LSTM", "SGD", "Adam"]
    box = figure.legends[0].get_window_extent()
    assert all(box.y1 <= axes.get_window_extent().y0 for axes in figure.axes)


def test_each_row_is_as_high_as_its_own_updates() -> None:
    small = {name: 0.01 * updates for name, updates in CURVES.items()}
    panels = [function(f"Step {t}", **(small if t > 4 else {})) for t in range(1, 9)]
    first, second = draw_functions(panels).axes[:4], draw_functions(panels).axes[4:]
    (high,) = {axes.get_ylim()[1] for axes in first}
    (low,) = {axes.get_ylim()[1] for axes in second}
    assert low == pytest.approx(0.01 * high)


def test_the_axis_holds_the_first_and_not_all_of_a_steep_line() -> None:
    low, high = draw_functions([function()]).axes[0].get_ylim()
    assert high == -low == pytest.approx(1.1 * 3.0, rel=1e-3)
    alone = draw_functions([function(sgd=0.0 * X)]).axes[0]
    assert alone.get_ylim()[1] == pytest.approx(1.1, rel=1e-3)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_what_cannot_be_drawn_is_left_out(value: float, tmp_path: Path) -> None:
    flat = np.full(11, value)
    panel = function(mine=flat, sgd=flat, adam=flat)
    save_figure(draw_functions([panel]), tmp_path / "functions")
    save_figure(draw_histories([HistoryPanel({"mine": flat}, ["mine"])]), tmp_path / "histories")


def test_the_same_pictures_are_the_same_bytes() -> None:
    for draw, panels in [
        (draw_histories, [HistoryPanel(G, ["mine"])] * 2),
        (draw_functions, [function()] * 8),
    ]:
        assert render(draw(panels), ".svg") == render(draw(panels), ".svg")
