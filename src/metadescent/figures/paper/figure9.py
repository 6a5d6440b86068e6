"""Figure 9 and appendix C: pictures that the LSTM styled, each between its content and its style.

As in figure 9, the first row has a test photograph in the training style and resolution, 64 × 64,
and one in another style at 128 × 128. Below is a gallery as in appendix C. Test photographs are
taken at equal distances from the test split, and were not chosen. A result is θ after 128 steps.
Next to it is the result of the same rule as it begins.

The paper makes no claims in numbers here. The criteria are ours, over all pictures of a resolution:

    finite      no pixel is NaN or infinite
    borders     less than a twentieth of the values in the outermost rows and columns are beyond
                black and white, in the mean over pictures
    style       L_style is less than a quarter of that of the photograph
    content     L_content is below 1, its value if the network sees nothing
    training    f is less than that of the rule as it begins, on the same pictures
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metadescent.descent.beginnings import as_begun
from metadescent.descent.trace import descend
from metadescent.figures.axes import arrange
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import (
    AT_THE_BORDER,
    CONTENT_LEFT,
    CRITERIA,
    FINITE,
    SIZES,
    STYLE_LEFT,
    F,
)
from metadescent.figures.paper.experiment import Context, Experiment, Reproduction
from metadescent.figures.paper.records import Record, rounded
from metadescent.figures.paper.styling import OPTIMIZERS, STEPS, TITLES
from metadescent.figures.style import COLUMN_WIDTH
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.data.content import content_path, load_content, style_path
from metadescent.problems.data.pictures import read_picture
from metadescent.problems.neural_art.features import FeatureNetwork
from metadescent.problems.neural_art.neural_art import NeuralArt, Terms, to_pixels, to_theta
from metadescent.problems.neural_art.tiny_imagenet import network

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


class Piece(NamedTuple):
    """A picture to style: a test photograph, by its place among the chosen, or an embedded one."""

    content: int | str
    style: str
    size: int


# Content and style of the gallery's pictures.
GALLERY = (
    ("grace_hopper", "composition_vii"),
    ("china", "the_scream"),
    ("flower", "shipwreck_minotaur"),
    ("grace_hopper", "the_scream"),
    ("china", "great_wave"),
    ("flower", "composition_vii"),
)
PIECES = (
    Piece(0, "starry_night", 64),
    Piece(1, "great_wave", 128),
    *(
        piece
        for row, (content, style) in enumerate(GALLERY)
        for piece in (Piece(2 + row, "starry_night", 64), Piece(content, style, 128))
    ),
)
TEST = sum(isinstance(piece.content, int) for piece in PIECES)


class Painted(NamedTuple):
    """θ after the last step, with L_content, … and f there."""

    theta: np.ndarray
    terms: Terms
    f: float


class Triple(NamedTuple):
    """Content and style, L_content, … of the content; the results, trained and as it begins."""

    piece: Piece
    content: np.ndarray
    style: np.ndarray
    before: Terms
    trained: Painted
    begun: Painted


class Gallery(Experiment):
    """The figure for one network; a budget says how many steps, and nothing is tuned."""

    units = len(PIECES)

    def __init__(self, figure: str, net: str):
        self.figure, self.net = figure, net
        self.optimizers = (OPTIMIZERS[net],)

    def run(self, context: Context) -> Reproduction:
        """Style the pictures, and judge them."""
        num_steps = context.budget.steps(STEPS)
        (name,) = self.optimizers
        rules = context.learned[name], context.begun[name]
        features = network(self.net, context.data_dir)
        # All pictures are read before the first is styled, to notice at once if one is missing.
        pictures = [_pictures(piece, context.data_dir) for piece in PIECES]
        triples = []
        for number, (piece, (content, style)) in enumerate(zip(PIECES, pictures, strict=True)):
            # Each picture has noise of its own.
            key = jax.random.fold_in(jax.random.key(context.seed), number)
            triples.append(styled(rules, features, piece, content, style, key, num_steps))
            context.progress(f"{piece.content} in the style of {TITLES[piece.style]}")
        measured = {"optimizer": name, "steps": num_steps, "pictures": [*map(_to_json, triples)]}
        records = records_of(name, num_steps, triples)
        claims = judge_claims(CRITERIA[self.figure], records)
        return Reproduction(self.figure, {}, records, claims, lambda: _draw(triples), measured)


EXPERIMENTS = [Gallery("figure9", "squeezenet"), Gallery("figure9-vgg19", "vgg19")]


def _pictures(piece: Piece, data_dir: str | Path | None) -> tuple[np.ndarray, np.ndarray]:
    style = read_picture(style_path(piece.style, data_dir), piece.size)
    if isinstance(piece.content, str):
        return read_picture(content_path(piece.content), piece.size), style
    # At equal distances, so that they are spread over the split.
    photographs = load_content(None, piece.size, "test", data_dir)
    return photographs[piece.content * len(photographs) // TEST], style


def styled(
    rules: tuple[LearnedOptimizer, LearnedOptimizer],
    features: FeatureNetwork,
    piece: Piece,
    content: np.ndarray,
    style: np.ndarray,
    key: jax.Array,
    num_steps: int,
) -> Triple:
    """Return a photograph after so many steps, with its content and style.

    The rules are the trained one, and the same rule as it begins.
    """
    problem = NeuralArt(features, content[None], style)
    f = eqx.filter_jit(NeuralArt.of)(problem, problem.contents[0])
    terms: Callable[..., Terms] = eqx.filter_jit(type(f).terms)

    def result(m: LearnedOptimizer) -> Painted:
        *_, last = descend(m, f, f.init(key), key, num_gradients=num_steps)
        at = jax.tree.map(float, terms(f, last.theta))
        return Painted(np.asarray(last.theta), at, float(f.loss(last.theta, key)))

    before = jax.tree.map(float, terms(f, to_theta(content)))
    return Triple(piece, content, style, before, *map(result, rules))


def beyond(theta: np.ndarray) -> tuple[float, float]:
    """Return the shares of values beyond black and white, in the border and in the rest."""
    out = ~(np.abs(theta) <= 1.0)  # NaN counts as beyond
    inside = out[1:-1, 1:-1]
    rest = out.size - inside.size
    return float((out.sum() - inside.sum()) / rest), float(inside.mean())


def records_of(name: str, steps: int, triples: Sequence[Triple]) -> dict[str, Record]:
    """Return the values of the pictures of each size, for the trained rule and as it begins."""
    records = {}
    for size in SIZES:
        chosen = [triple for triple in triples if triple.piece.size == size]
        runs = {
            name: [(triple.before, triple.trained) for triple in chosen],
            as_begun(name): [(triple.before, triple.begun) for triple in chosen],
        }
        of: dict[str, Callable[[Terms, Painted], Any]] = {
            FINITE: lambda _, result: float(np.isfinite(result.theta).mean()),
            # If a picture is not finite, its border says nothing.
            AT_THE_BORDER: lambda _, result: (
                beyond(result.theta)[0] if np.isfinite(result.theta).all() else np.nan
            ),
            STYLE_LEFT: lambda before, result: result.terms.style / before.style,
            CONTENT_LEFT: lambda _, result: result.terms.content,
            F: lambda _, result: result.f,
        }
        values = {
            quantity: {
                who: rounded(np.asarray([value(*run) for run in both]))
                for who, both in runs.items()
            }
            for quantity, value in of.items()
        }
        records[str(size)] = Record(steps, (name,), (), values)
    return records


def _draw(triples: Sequence[Triple]) -> "matplotlib.figure.Figure":
    """Draw the pictures, two in a row: each with content, as the rule begins, result and style."""

    def draw(axes: "matplotlib.axes.Axes", panel: tuple[np.ndarray, str]) -> None:
        pixels, title = panel
        axes.imshow(pixels, interpolation="nearest")
        axes.set_axis_off()
        # Eight stand side by side, and the longest is no wider than its picture.
        axes.set_title(title, pad=2.0, fontsize="small")

    panels = []
    for triple in triples:
        _, style, size = triple.piece
        both = triple.begun, triple.trained
        begun, trained = (to_pixels(jnp.nan_to_num(result.theta)) for result in both)
        panels += [
            (triple.content, f"{size} × {size}"),
            (begun, "as it begins"),
            (trained, "trained"),
            (triple.style, TITLES[style]),
        ]
    return arrange(panels, draw, 8, 2 * COLUMN_WIDTH, height=0.95, letters=False)


def _to_json(triple: Triple) -> dict[str, Any]:
    border, inside = beyond(triple.trained.theta)
    return triple.piece._asdict() | {
        "before": _finite(triple.before),
        "after": _finite(triple.trained.terms),
        "begun": _finite(triple.begun.terms),
        "beyond": {"border": border, "rest": inside},
    }


def _finite(terms: Terms) -> dict[str, Any]:
    """Return terms for JSON, which has no NaN."""
    return {n: value if np.isfinite(value) else None for n, value in terms._asdict().items()}
