"""Figure 9 and appendix C: pictures that the LSTM styled, each between its content and its style.

In the first row, as in figure 9, a test photograph in the training style and resolution, 64 × 64,
and one in another style at 128 × 128; below a gallery as in appendix C. Test photographs are taken
at equal distances from the test split, and were not chosen. A result is θ after 128 steps.

The paper claims nothing in numbers here. What is judged is ours, over all pictures of a resolution:

    finite      no pixel is NaN or infinite
    borders     of the outermost rows and columns, the share of values beyond black and white is at
                most `BORDER` times that of the rest, or at most `FEW`
    style       L_style is at most `PART` of what it is for the photograph
    content     L_content is below 1, which it is where the network sees nothing
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metadescent.descent.trace import descend
from metadescent.figures.axes import arrange
from metadescent.figures.paper.claims import Claim
from metadescent.figures.paper.experiment import Context, Experiment, Reproduction
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

BORDER, FEW, PART = 3.0, 0.02, 0.25  # ours, as above
SIZES = (64, 128)


class Piece(NamedTuple):
    """What is styled: a test photograph, by its place among the chosen, or an embedded one."""

    content: int | str
    style: str
    size: int


# Content and style of the pictures to the right.
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


class Triple(NamedTuple):
    """A content, θ after the last step, a style; L_content, … of the content and of the result."""

    piece: Piece
    content: np.ndarray
    theta: np.ndarray
    style: np.ndarray
    before: Terms
    after: Terms


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
        m, features = context.learned[name], network(self.net, context.data_dir)
        # All are read before the first is styled, so that a missing one is found out at once.
        pictures = [_pictures(piece, context.data_dir) for piece in PIECES]
        triples = []
        for number, (piece, (content, style)) in enumerate(zip(PIECES, pictures, strict=True)):
            # Noise of its own for each picture.
            key = jax.random.fold_in(jax.random.key(context.seed), number)
            triples.append(styled(m, features, piece, content, style, key, num_steps))
            context.progress(f"{piece.content} in the style of {TITLES[piece.style]}")
        measured = {"optimizer": name, "steps": num_steps, "pictures": [*map(_to_json, triples)]}
        return Reproduction(self.figure, {}, _judge(triples), lambda: _draw(triples), measured)


EXPERIMENTS = [Gallery("figure9", "squeezenet"), Gallery("figure9-vgg19", "vgg19")]


def _pictures(piece: Piece, data_dir: str | Path | None) -> tuple[np.ndarray, np.ndarray]:
    style = read_picture(style_path(piece.style, data_dir), piece.size)
    if isinstance(piece.content, str):
        return read_picture(content_path(piece.content), piece.size), style
    # Every so many, so that they are spread over the split.
    photographs = load_content(None, piece.size, "test", data_dir)
    return photographs[piece.content * len(photographs) // TEST], style


def styled(
    m: LearnedOptimizer,
    features: FeatureNetwork,
    piece: Piece,
    content: np.ndarray,
    style: np.ndarray,
    key: jax.Array,
    num_steps: int,
) -> Triple:
    """Return a photograph after so many steps of an optimizer, between content and style."""
    problem = NeuralArt(features, content[None], style)
    f = eqx.filter_jit(NeuralArt.of)(problem, problem.contents[0])
    *_, last = descend(m, f, f.init(key), key, num_gradients=num_steps)
    terms: Callable[..., Terms] = eqx.filter_jit(type(f).terms)
    both = to_theta(content), last.theta
    before, after = (jax.tree.map(float, terms(f, theta)) for theta in both)
    return Triple(piece, content, np.asarray(last.theta), style, before, after)


def beyond(theta: np.ndarray) -> tuple[float, float]:
    """Return the shares of values beyond black and white: of the border, and of the rest."""
    out = ~(np.abs(theta) <= 1.0)  # NaN is beyond, too
    inside = out[1:-1, 1:-1]
    rest = out.size - inside.size
    return float((out.sum() - inside.sum()) / rest), float(inside.mean())


def _judge(triples: Sequence[Triple]) -> list[Claim]:
    """Return what we claim of styled pictures."""
    claims = []
    for size in SIZES:
        chosen = [triple for triple in triples if triple.piece.size == size]
        where = f"{len(chosen)} styled pictures of {size} × {size}"
        finite = float(np.mean([np.isfinite(triple.theta) for triple in chosen]))
        border, inside = np.mean([beyond(triple.theta) for triple in chosen], axis=0).tolist()
        style = float(np.max([triple.after.style / triple.before.style for triple in chosen]))
        content = float(np.max([triple.after.content for triple in chosen]))
        most = max(BORDER * inside, FEW)
        claims += [
            Claim(
                f"{where} have no NaN: the share of values that are finite, against all of them",
                "ours",
                finite,
                1.0,
                finite == 1.0,
            ),
            Claim(
                f"{where} have no saturated borders: the share of values beyond black and white in "
                f"the outermost rows and columns, against {BORDER:g} times that of the rest, or "
                f"{FEW:g} where that is less; holds if it is no more",
                "ours",
                border,
                most,
                finite == 1.0 and border <= most,
            ),
            Claim(
                f"{where} show the style: the largest ratio of L_style to the photograph's, "
                f"against {PART:g}; holds if it is no more",
                "ours",
                style,
                PART,
                style <= PART,
            ),
            Claim(
                f"{where} show the content: the largest L_content, against that of what the "
                "network sees nothing in; holds if it is less",
                "ours",
                content,
                1.0,
                content < 1.0,
            ),
        ]
    return claims


def _draw(triples: Sequence[Triple]) -> "matplotlib.figure.Figure":
    """Draw the triples, two in a row: content, result, style."""

    def draw(axes: "matplotlib.axes.Axes", panel: tuple[np.ndarray, str]) -> None:
        pixels, title = panel
        axes.imshow(pixels, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title, pad=2.0)

    panels = []
    for triple in triples:
        _, style, size = triple.piece
        shown = to_pixels(jnp.nan_to_num(triple.theta))
        result = f"{TITLES[style]}, {size} × {size}"
        panels += [(triple.content, ""), (shown, result), (triple.style, "")]
    return arrange(panels, draw, 6, 2 * COLUMN_WIDTH, height=1.2, letters=False)


def _to_json(triple: Triple) -> dict[str, Any]:
    border, inside = beyond(triple.theta)
    return triple.piece._asdict() | {
        "before": _finite(triple.before),
        "after": _finite(triple.after),
        "beyond": {"border": border, "rest": inside},
    }


def _finite(terms: Terms) -> dict[str, Any]:
    """Return terms as JSON has them, which knows no NaN."""
    return {n: value if np.isfinite(value) else None for n, value in terms._asdict().items()}
