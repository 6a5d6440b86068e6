"""Figures: what is drawn is what was measured, and the same figure gives the same bytes."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import cbook
from matplotlib.figure import Figure
from matplotlib.text import Text

from metadescent._errors import UserError
from metadescent.descent.curves import Curve
from metadescent.figures.axes import _ticks
from metadescent.figures.curves import Panel, draw_curves, draw_panel
from metadescent.figures.output import render, save_figure
from metadescent.figures.proposals import (
    FunctionPanel,
    HistoryPanel,
    draw_functions,
    draw_histories,
)
from metadescent.figures.style import COLUMN_WIDTH
from metadescent.figures.sweeps import Sweep, Trend, draw_sweeps


def curve(rate: float | None, level: float = 1.0, steps: int = 20) -> Curve:
    mean = level * (1 + np.exp(-np.arange(steps) / 4))
    return Curve(mean, 0.9 * mean, 1.1 * mean, rate)


def curves() -> dict[str, Curve]:
    return {"mine": curve(None, 0.1), "sgd": curve(1.0), "adam": curve(0.1, 0.5)}


SIZES = (5, 10, 20, 40)


def trend(learned: bool, level: float = 1.0) -> Trend:
    mean = level / np.sqrt(SIZES)
    return Trend(mean, 0.9 * mean, 1.1 * mean, learned)


def trends() -> dict[str, Trend]:
    return {"mine": trend(True, 0.5), "sgd": trend(False), "adam": trend(False, 0.7)}


def axes_of(panel: Panel):
    return draw_curves([panel]).axes[0]


def test_lines_are_the_means_of_the_steps_shown() -> None:
    axes = axes_of(Panel(curves(), first_step=11))
    for line, expected in zip(axes.lines, curves().values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(11, 21))
        np.testing.assert_array_equal(line.get_ydata(), expected.mean[10:])
    assert axes.get_xlim() == (10, 20)
    assert axes.get_yscale() == "log"


ODD = [
    "x$^$",
    r"a$\frac$",
    "$",
    "$$",
    r"a\$b$",
    "_hidden",
    "__",
    "_$_",
    "a_b^c {x} 100% & #~",
    "<b>",
]


@pytest.mark.parametrize("kind", ["curves", "sweeps", "histories", "functions", "own axes"])
def test_texts_are_drawn_as_they_stand(kind: str) -> None:
    line, texts = np.arange(1.0, 5.0), {"title": ODD[0], "x_label": ODD[1], "y_label": ODD[5]}
    panel = Panel({name: curve(0.1) for name in ODD}, **texts)
    if kind == "own axes":
        figure = Figure()
        axes = figure.subplots()
        draw_panel(axes, panel)
        figure.legends.append(axes.legend())
    elif kind == "curves":
        figure = draw_curves(
            [panel, panel._replace(curves={"m": curve(None)}, labels={"m": "_$$"})]
        )
    elif kind == "sweeps":
        figure = draw_sweeps([Sweep(SIZES, {name: trend(False) for name in ODD}, **texts)])
    elif kind == "histories":
        figure = draw_histories([HistoryPanel(dict.fromkeys(ODD, line), [], ODD[0])])
    else:
        actual = dict.fromkeys(ODD, (1.0, 1.0))
        functions = FunctionPanel(line, dict.fromkeys(ODD, line), actual, [], ODD[0])
        figure = draw_functions([functions])
    assert render(figure, ".svg")
    ticks = [t for a in figure.axes for t in (*a.get_xticklabels(), *a.get_yticklabels())]
    drawn = [t.get_text() for t in figure.findobj(Text) if t not in ticks]
    # As Matplotlib draws what it does not take for mathematics.
    assert not any(map(cbook.is_math_text, drawn))
    drawn = [text.replace(r"\$", "$").removeprefix("\u200b") for text in drawn]
    assert {*ODD} <= {*drawn}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(ODD) + (kind == "curves")


def test_values_may_lie_steps_apart() -> None:
    axes = axes_of(Panel(curves(), every=5))
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), 5 * np.arange(1, 21))
    assert axes.get_xlim() == (0, 100)
    later = axes_of(Panel(curves(), every=5, first_step=12)).lines[0]
    assert later.get_xdata()[0] == 15


def test_bands_are_the_intervals() -> None:
    axes = axes_of(Panel(curves()))
    for band, expected in zip(axes.collections, curves().values(), strict=True):
        x, y = band.get_paths()[0].vertices.T
        for step in (1, 20):
            assert y[x == step].min() == expected.low[step - 1]
            assert y[x == step].max() == expected.high[step - 1]


def test_learned_optimizers_are_solid_and_hand_designed_ones_dashed() -> None:
    more = {**curves(), "other": curve(0.3), "second": curve(None)}
    lines = axes_of(Panel(more)).lines
    for line, (name, shown) in zip(lines, more.items(), strict=True):
        assert (line.get_linestyle() == "-") is (shown.rate is None), name
    learned, sgd = lines[0], lines[1]
    assert learned.get_linewidth() > sgd.get_linewidth()


def test_every_curve_differs_in_colour_and_in_dashes_or_markers() -> None:
    names = ["a", "b", "sgd", "nag", "rmsprop", "adam", "c", "d"]
    learned = {"a", "b"}
    lines = axes_of(Panel({n: curve(None if n in learned else 0.1) for n in names})).lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == len(names)
    grey = {(line.get_marker(), str(line._unscaled_dash_pattern)) for line in lines}
    assert len(grey) == len(names)


def test_a_baseline_looks_the_same_in_every_panel() -> None:
    alone = axes_of(Panel({"adam": curve(0.1)})).lines[0]
    among = axes_of(Panel(curves())).lines[2]
    assert alone.get_color() == among.get_color()
    assert alone._unscaled_dash_pattern == among._unscaled_dash_pattern


def test_labels_titles_and_one_shared_legend() -> None:
    panels = [
        Panel(curves(), title="One", labels={"mine": "LSTM"}),
        Panel(curves(), title="Two", y_label="Loss (nats)", labels={"mine": "LSTM"}),
        Panel({"nag": curve(0.1)}),
    ]
    figure = draw_curves(panels)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["One", "Two", ""]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss", "Loss (nats)", "Loss"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"Step"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["LSTM", "SGD", "Adam", "NAG"]
    assert not legend.get_frame_on()


@pytest.mark.parametrize("columns", [1, 2])
def test_the_legend_stays_inside_the_figure(columns: int) -> None:
    names = ["quadratic-uniform-lstm", "sgd", "nag", "rmsprop", "adam"]
    shown = {name: curve(None if "lstm" in name else 0.1) for name in names}
    figure = draw_curves([Panel(shown)] * columns)
    assert figure.get_size_inches()[0] == COLUMN_WIDTH * columns
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_what_a_logarithmic_axis_cannot_show_is_left_out() -> None:
    mean = np.array([4.0, np.nan, 2.0, np.inf, 1.0])
    wide = Curve(mean, mean - 10, mean + 10, 0.1)
    nowhere = np.full(5, np.nan)
    shown = {"sgd": wide, "nag": Curve(nowhere, nowhere, nowhere, 0.1)}
    axes = axes_of(Panel(shown))
    low, high = axes.get_ylim()
    assert 0 < low < 1.0
    assert 14.0 < high < np.inf
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [4, np.nan, 2, np.nan, 1])


def test_one_that_diverges_leaves_the_axes_unless_all_do() -> None:
    mean = np.array([4.0, 1e9, np.inf])
    diverged = Curve(mean, mean, mean, 0.1)
    assert axes_of(Panel({"lstm": curve(None), "sgd": diverged})).get_ylim()[1] < 1e3
    assert axes_of(Panel({"sgd": diverged})).get_ylim()[1] > 1e9


@pytest.mark.parametrize("level", [0.0, 1e-9, 1.0, 1e7])
def test_any_level_of_loss(tmp_path: Path, level: float) -> None:
    save_figure(
        draw_curves([Panel({"sgd": curve(0.1, level), "adam": curve(0.1, level)})]), tmp_path
    )


def test_one_step_and_no_interval() -> None:
    one = np.array([1.0])
    nan = np.array([np.nan])
    assert axes_of(Panel({"sgd": Curve(one, nan, nan, 0.1)})).get_xlim() == (0, 1)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.2, 0.25), (0.19, 0.51), (0.09, 11.0), (1e-3, 1e3), (1e-12, 1e4), (0.98, 1.02)],
)
def test_a_handful_of_round_ticks(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert (np.diff(ticks) > 0).all()
    assert low <= ticks.min()
    assert ticks.max() <= high


def test_ticks_are_powers_of_ten_or_what_lies_between_two() -> None:
    assert _ticks(0.03, 40.0).tolist() == [0.1, 1.0, 10.0]
    assert _ticks(0.19, 0.55).round(3).tolist() == [0.2, 0.25, 0.3, 0.4, 0.5]


def test_a_panel_on_axes_of_your_own() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_panel(axes, Panel(curves()))
    assert len(axes.lines) == 3
    assert axes.get_legend() is None


def test_a_learned_optimizer_looks_the_same_in_all_panels() -> None:
    curve = next(curve for curve in curves().values() if curve.rate is None)
    labels = {"a-lstm": "LSTM", "b-lstm": "LSTM"}
    panels = [
        Panel({"a-lstm": curve, "plain": curve}, labels=labels),
        Panel({"b-lstm": curve, "other": curve}, labels=labels),
    ]
    lines = [line for axes in draw_curves(panels).axes for line in axes.lines]
    looks = {line.get_label(): (line.get_color(), line.get_marker()) for line in lines}
    assert list(looks) == ["LSTM", "plain", "other"]
    assert len(set(looks.values())) == 3
    assert len({(line.get_label(), line.get_color()) for line in lines}) == 3


def test_a_sweep_shows_every_size_with_its_interval() -> None:
    axes = draw_sweeps([Sweep(SIZES, trends())]).axes[0]
    for line, band, expected in zip(axes.lines, axes.collections, trends().values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), SIZES)
        np.testing.assert_array_equal(line.get_ydata(), expected.mean)
        assert line.get_marker() != "None"
        x, y = band.get_paths()[0].vertices.T
        for i, size in enumerate(SIZES):
            assert y[x == size].min() == expected.low[i]
            assert y[x == size].max() == expected.high[i]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "10", "20", "40"]
    low, high = axes.get_xlim()
    assert low < 5
    assert high > 40


def test_an_optimizer_looks_the_same_in_sweeps_and_learning_curves() -> None:
    swept = draw_sweeps([Sweep(SIZES, trends())]).axes[0].lines
    for line, curve_line in zip(swept, axes_of(Panel(curves())).lines, strict=True):
        assert line.get_color() == curve_line.get_color()
        assert line._unscaled_dash_pattern == curve_line._unscaled_dash_pattern
        assert line.get_linewidth() == curve_line.get_linewidth()


def test_sweeps_share_one_loss_axis_and_one_legend() -> None:
    labels = {"mine": "LSTM"}
    figure = draw_sweeps(
        [
            Sweep(SIZES, trends(), "One", "Units", "Loss (nats)", 20, 0.1, labels),
            Sweep(SIZES, {"nag": trend(False, 50.0)}, "Two", "Units", horizontal=0.1),
            Sweep(SIZES, {}, "Three", "Units"),
        ]
    )
    assert figure.get_size_inches()[0] == 2 * COLUMN_WIDTH
    one, two, three = figure.axes
    assert one.get_ylim() == two.get_ylim() == three.get_ylim()
    assert one.get_ylim()[0] < 0.5 / np.sqrt(40)
    assert one.get_ylim()[1] > 50 / np.sqrt(5)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["One", "Two", "Three"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss (nats)", "", ""]
    assert {axes.get_xlabel() for axes in figure.axes} == {"Units"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["LSTM", "SGD", "Adam", "NAG"]
    assert len(one.lines) == 2 + 3
    assert list(one.lines[0].get_xdata()) == [20, 20]
    assert list(one.lines[1].get_ydata()) == [0.1, 0.1]
    assert len(two.lines) == 1 + 1
    assert len(three.lines) == 0


def test_a_level_beyond_the_trends_is_in_view() -> None:
    low, high = draw_sweeps([Sweep(SIZES, trends(), horizontal=0.01)]).axes[0].get_ylim()
    assert low < 0.01
    assert high > 1 / np.sqrt(5)


def test_a_point_that_diverged_is_left_out_of_a_sweep(tmp_path: Path) -> None:
    mean = np.array([1.0, np.nan, 0.5, np.inf])
    nan = np.full(4, np.nan)
    figure = draw_sweeps(
        [Sweep(SIZES, {"sgd": Trend(mean, nan, nan, False), "adam": trend(False)})]
    )
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1, np.nan, 0.5, np.nan])
    save_figure(figure, tmp_path / "sweep")


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    figure = draw_curves([Panel(curves())] * 2)
    again = draw_curves([Panel(curves())] * 2)
    for suffix in range(2):
        a, b, c = (
            save_figure(drawn, tmp_path / name)[suffix].read_bytes()
            for drawn, name in ((figure, "a"), (figure, "b"), (again, "c"))
        )
        assert a == b == c


def test_both_formats_at_their_size(tmp_path: Path) -> None:
    from matplotlib.image import imread

    svg, png = save_figure(draw_curves([Panel(curves())]), tmp_path / "folder" / "version 1.2")
    assert (svg.name, png.name) == ("version 1.2.svg", "version 1.2.png")
    assert b"<svg" in svg.read_bytes()
    assert b"<dc:date>" not in svg.read_bytes()
    assert imread(png).shape[1] == round(200 * COLUMN_WIDTH)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*figure4\.svg"):
        save_figure(draw_curves([Panel(curves())]), tmp_path / "file" / "figure4")


def test_losses_below_zero_are_drawn_on_a_linear_axis() -> None:
    below = {"mine": curve(None, -3.0), "sgd": curve(0.1, 5.0)}
    axes = axes_of(Panel(below))
    assert axes.get_yscale() == "linear"
    low, high = axes.get_ylim()
    for line, drawn in zip(axes.lines, below.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), drawn.mean)
        assert low < drawn.mean.min() <= drawn.mean.max() < high
    axes = draw_sweeps([Sweep(SIZES, {"sgd": trend(False, -2.0)})]).axes[0]
    assert axes.get_yscale() == "linear"
