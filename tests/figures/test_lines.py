"""Lines: bands stay within the axis, divergence is marked where it is, thinning hides nothing."""

import string

import numpy as np
import pytest

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import Curve
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.lines import LONG, blocks_of, last_finite, thinned
from metadescent.figures.output import STYLES, render, save_figure
from metadescent.figures.run import draw_run
from metadescent.figures.style import _LEARNED, _OTHERS
from metadescent.figures.sweeps import Sweep, Trend, draw_sweeps
from metadescent.figures.theme import GROUND, luminance, on_dark

STEPS = np.arange(100)


def falling(level: float = 1.0, rate: float | None = 0.1, steps: int = 100) -> Curve:
    mean = level * np.exp(-np.arange(steps) * 3 / steps)
    return Curve(mean, 0.9 * mean, 1.1 * mean, rate)


def ends_at(last: int, steps: int = 100) -> Curve:
    """A curve whose loss grows and is finite for the last time at that step, from one."""
    mean = 2.0 ** (1 + np.arange(steps) / 20)
    mean[last:] = np.inf
    nan = np.where(np.isfinite(mean), mean, np.nan)
    return Curve(mean, 0.5 * nan, 1.5 * nan, 0.3)


def crosses(axes) -> list:
    return [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]


WIDE = {
    "below zero": lambda mean: (mean * np.cos(STEPS / 9) - 0.1, 2 * mean),
    "far below": lambda mean: (1e-30 * mean, 2 * mean),
    "infinite": lambda mean: (np.full(100, -np.inf), np.full(100, np.inf)),
    "zero": lambda mean: (np.zeros(100), 2 * mean),
}


@pytest.mark.parametrize("kind", WIDE)
def test_a_band_ends_where_the_axis_does(kind: str) -> None:
    mean = falling().mean
    curves = {"mine": falling(0.5, None), "sgd": Curve(mean, *WIDE[kind](mean), 0.1)}
    for panel in (Panel(curves | {"nag": ends_at(60)}), Panel(curves)):
        axes = draw_curves([panel]).axes[0]
        low, high = axes.get_ylim()
        for band in axes.collections:
            y = np.concatenate([path.vertices[:, 1] for path in band.get_paths()])
            assert low <= y.min() <= y.max() <= high
        # No decade is shown for the sake of a bound near zero.
        assert low > 0.5 * 0.5 * mean.min()


@pytest.mark.parametrize("last", [1, 60, 99])
def test_a_diverged_curve_ends_with_a_mark_that_the_legend_explains(last: int) -> None:
    curves = {"mine": falling(0.5, None), "sgd": ends_at(last), "adam": falling()}
    figure = draw_curves([Panel(curves), Panel(curves)])
    for axes in figure.axes:
        (cross,) = crosses(axes)
        assert cross.get_xdata()[0] == last
        assert cross.get_color() == BASELINES["sgd"].color
        expected = min(curves["sgd"].mean[last - 1], axes.get_ylim()[1])
        assert cross.get_ydata()[0] == pytest.approx(expected)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["mine", "SGD", "Adam", "diverged: last finite loss"]


def test_one_that_stays_finite_and_blows_up_is_marked_too() -> None:
    curves = {"mine": falling(0.5, None), "sgd": ends_at(100), "adam": falling()}
    axes = draw_curves([Panel(curves)]).axes[0]
    assert crosses(axes)[0].get_xdata()[0] == 100
    # It is seen to leave the axis, which is fitted to the others.
    assert curves["sgd"].mean[0] < axes.get_ylim()[1] < curves["sgd"].mean[-1]


def test_one_that_is_never_finite_is_marked_where_it_began() -> None:
    nowhere = np.full(100, np.nan)
    curves = {"mine": falling(0.5, None), "sgd": Curve(nowhere, nowhere, nowhere, 0.1)}
    axes = draw_curves([Panel(curves, first_step=51)]).axes[0]
    assert crosses(axes)[0].get_xydata()[0].tolist() == [50, axes.get_ylim()[1]]


@pytest.mark.parametrize("level", [1.0, 0.0, -1.0])
def test_what_does_not_diverge_has_no_mark(level: float) -> None:
    curves = {"mine": falling(level, None), "sgd": falling(), "adam": falling(1e-3)}
    figure = draw_curves([Panel(curves)])
    assert crosses(figure.axes[0]) == []
    assert len(figure.legends[0].get_texts()) == 3


def test_sizes_at_which_one_diverged_are_marked_in_a_sweep() -> None:
    mean = np.asarray([1.0, np.nan, 0.5, np.inf])
    sweep = Sweep((1, 2, 4, 8), {"sgd": Trend(mean, mean, mean, False)})
    figure = draw_sweeps([sweep])
    assert [cross.get_xdata()[0] for cross in crosses(figure.axes[0])] == [2, 8]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["SGD", "diverged"]


def test_a_long_curve_is_thinned_and_its_axis_says_so() -> None:
    curves = {"mine": falling(0.5, None, 10_000), "sgd": ends_at(4321, 10_000)}
    axes = draw_curves([Panel(curves)]).axes[0]
    assert axes.get_xlabel() == "Step (each point the mean of 40)"
    mine, sgd = axes.lines[:2]
    assert len(mine.get_xdata()) < 300
    assert mine.get_xdata()[[0, -1]].tolist() == [1, 10_000]
    assert axes.get_xlim() == (0, 10_000)
    # Means of blocks lie within what they are the means of.
    assert mine.get_ydata()[0] == curves["mine"].mean[0]
    assert curves["mine"].mean[-1] < mine.get_ydata()[-1] < curves["mine"].mean[-40]
    # The line goes to the mark, and no further.
    x, y = sgd.get_xdata(), sgd.get_ydata()
    assert crosses(axes)[0].get_xdata()[0] == 4321 == x[np.isfinite(y)][-1]
    short = draw_curves([Panel({"mine": falling(0.5, None, LONG)})]).axes[0]
    assert short.get_xlabel() == "Step"
    assert len(short.lines[0].get_xdata()) == LONG


@pytest.mark.parametrize("length", [1, 2, 1001, 1234, 9999])
def test_thinning_keeps_the_sum_and_shows_a_spike_and_a_gap(length: int) -> None:
    mean = np.random.default_rng(0).uniform(1, 2, length)
    x, size = np.arange(1, length + 1), 7
    thin, (means, *_) = thinned(x, [mean] * 3, size)
    assert thin[0] == 1
    assert thin[-1] == length
    lengths = np.diff([0, *thin])
    assert lengths.max() <= size
    assert (lengths @ means) == pytest.approx(mean.sum())
    mean[length // 2] = 1e9
    assert np.max(thinned(x, [mean] * 3, size)[1][0]) >= 1e9 / size
    mean[length // 2] = np.nan
    assert np.isnan(thinned(x, [mean] * 3, size)[1][0]).any()


def test_no_curve_is_drawn_by_more_points_than_are_seen() -> None:
    for length in (1, LONG, LONG + 1, 10_000, 1_000_000):
        assert length / blocks_of(length) <= LONG
    assert last_finite(np.asarray([1.0, np.nan, 2.0, np.inf])) == 2
    assert last_finite(np.asarray([np.nan])) == -1


def test_several_panels_have_letters_and_one_has_none() -> None:
    def letters(figure) -> list[str]:
        return [text.get_text() for axes in figure.axes for text in axes.texts]

    panel, sweep = Panel({"sgd": falling()}), Sweep((1, 2), {})
    assert letters(draw_curves([panel])) == letters(draw_sweeps([sweep])) == []
    expected = [f"({letter})" for letter in string.ascii_lowercase[:3]]
    assert letters(draw_curves([panel] * 3)) == letters(draw_sweeps([sweep] * 3)) == expected
    assert letters(draw_curves([panel] * 28))[-3:] == ["(z)", "(aa)", "(bb)"]


def test_all_text_of_a_figure_has_one_size() -> None:
    from matplotlib.text import Text

    line = {"epoch": 1, "validation_loss": 1.0, "meta_loss": 2.0, "gradient_norm": 1.0}
    for figure in (
        draw_curves([Panel({"sgd": falling(), "adam": ends_at(60)}, title="A")] * 2),
        draw_sweeps([Sweep((1, 2), {}, title="A")] * 2),
        draw_run([line], 20.0),
    ):
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        assert {text.get_fontsize() for text in texts} == {8.0}
        assert len(figure.legends) == 1


COLORS = {b.color for b in BASELINES.values()} | {color for color, _ in [*_LEARNED, *_OTHERS]}


@pytest.mark.parametrize("color", sorted(COLORS))
def test_a_line_is_seen_on_the_dark_ground(color: str) -> None:
    from matplotlib.colors import to_rgb

    light = luminance(on_dark(*to_rgb(color)))
    assert (light + 0.05) / (luminance(GROUND) + 0.05) >= 3  # WCAG's least contrast of graphics
    assert on_dark(1.0, 1.0, 1.0)[:3] == pytest.approx(GROUND)


def test_a_style_changes_colours_and_leaves_the_figure_as_it_was(tmp_path) -> None:
    from matplotlib.image import imread

    figure = draw_curves([Panel({"sgd": falling(), "mine": falling(0.5, None)})] * 2)
    light = render(figure, ".svg")
    grounds = {}
    for style in STYLES:
        svg, png = save_figure(figure, tmp_path / style, style=style)
        grounds[style] = imread(png)[0, 0].round(2).tolist()
        # SGD is black.
        assert (b"stroke: #000000" in svg.read_bytes()) is ("dark" not in style)
    assert grounds["light"] == [1, 1, 1, 1]
    assert grounds["dark"] == pytest.approx([*GROUND, 1], abs=0.01)
    assert grounds["transparent"][3] == grounds["transparent-dark"][3] == 0
    assert render(figure, ".svg") == light
