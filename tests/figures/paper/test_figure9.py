"""Figure 9: what is judged of styled pictures holds where it is so, and all of it runs."""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.beginnings import as_begun
from metadescent.figures.paper import experiment_of, figure9, styling
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.experiment import reproduce
from metadescent.figures.paper.figure9 import PIECES, Painted, Piece, Triple, beyond, records_of
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.data.content import TINY_IMAGENET
from metadescent.problems.data.embedded import EMBEDDED
from metadescent.problems.data.pictures import write_picture
from metadescent.problems.neural_art.features import FeatureNetwork
from metadescent.problems.neural_art.neural_art import Terms, to_theta

M, BEGUN = "neural-art-lstm", as_begun("neural-art-lstm")


def triple(
    theta: np.ndarray | None = None,
    size: int = 64,
    style: float = 0.1,
    content: float = 0.5,
    f: float = 0.8,
    begun: float = 0.9,
) -> Triple:
    """Return a grey picture of 16 × 16, said to be of another size."""
    grey = np.full((16, 16, 3), 128, np.uint8)
    theta = np.zeros((16, 16, 3)) if theta is None else theta
    before, after = Terms(0.0, 0.8, 0.1), Terms(content, style, 0.1)
    piece = Piece("china", "the_scream", size)
    return Triple(piece, grey, grey, before, Painted(theta, after, f), Painted(theta, after, begun))


def failing(*triples: Triple) -> list[str]:
    alright = [triple(size=size, f=f) for size in (64, 128) for f in (0.8, 0.81)]
    claims = judge_claims(CRITERIA["figure9"], records_of(M, 128, [*alright, *triples]))
    assert len({claim.text for claim in claims}) == len(claims) == 10
    assert {claim.section for claim in claims} == {"ours"}
    return [claim.id for claim in claims if not claim.holds]


def with_border(level: float, inside: float = 0.0) -> np.ndarray:
    theta = np.full((16, 16, 3), inside)
    theta[0], theta[-1] = level, level
    theta[:, 0], theta[:, -1] = level, level
    return theta


def test_pictures_that_are_right_pass() -> None:
    assert failing() == []


def test_the_outermost_rows_and_columns_are_told_from_the_rest() -> None:
    assert beyond(with_border(1.01)) == (1.0, 0.0)
    assert beyond(with_border(1.0, inside=-1.01)) == (0.0, 1.0)
    corner = np.zeros((16, 16, 3))
    corner[0, 0] = 2.0
    assert beyond(corner) == (pytest.approx(1 / 60), 0.0)


def test_a_row_of_the_border_is_a_third_of_it() -> None:
    theta = np.zeros((4, 4, 3))
    theta[0] = 1.5
    assert beyond(theta) == (pytest.approx(1 / 3), 0.0)


@pytest.mark.parametrize("inside", [0.0, 1.5])
def test_a_saturated_border_is_seen_at_its_resolution(inside: float) -> None:
    """However far the rest of the picture is beyond black and white: the bound is the same."""
    assert failing(triple(with_border(1.5, inside), size=128)) == ["128-border"]


def test_few_values_at_the_border_may_be_beyond() -> None:
    theta = np.zeros((16, 16, 3))
    theta[0, :3, 0] = 1.5  # 3 of 180
    assert failing(*[triple(theta, f=0.8 + k / 100) for k in range(9)]) == []
    theta[0, :, 0] = 1.5  # 16 of 180
    assert failing(*[triple(theta, f=0.8 + k / 100) for k in range(9)]) == ["64-border"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_pixel_that_is_not_finite_is_too_many(value: float) -> None:
    theta = np.zeros((16, 16, 3))
    theta[8, 8, 1] = value
    assert failing(triple(theta)) == ["64-finite", "64-border"]


def test_every_picture_shows_its_style_and_its_content() -> None:
    assert failing(triple(style=0.21)) == ["64-style"]
    assert failing(triple(content=1.0, size=128)) == ["128-content"]
    assert failing(triple(style=math.nan, content=math.nan)) == ["64-style", "64-content"]


def test_training_has_to_pay_on_the_same_pictures() -> None:
    assert failing(triple(f=0.95, begun=1.05)) == []
    assert failing(triple(f=0.95, begun=0.9)) == ["64-learned"]
    assert failing(triple(f=math.nan, size=128)) == ["128-learned"]


def test_the_pieces_are_those_that_the_paper_describes() -> None:
    assert PIECES[0] == Piece(0, "starry_night", 64)
    assert PIECES[1] == Piece(1, "great_wave", 128)
    assert [piece.size for piece in PIECES] == [64, 128] * (len(PIECES) // 2)
    small = [piece for piece in PIECES if piece.size == 64]
    assert {piece.style for piece in small} == {"starry_night"}
    large = [piece for piece in PIECES if piece.size == 128]
    assert {piece.style for piece in large} == set(styling.TITLES) - {"starry_night"}
    numbers = [piece.content for piece in PIECES if isinstance(piece.content, int)]
    assert numbers == list(range(figure9.TEST))
    assert {piece.content for piece in PIECES if isinstance(piece.content, str)} == set(EMBEDDED)
    assert experiment_of("figure9").units == len(PIECES)
    assert experiment_of("figure9").optimizers == ("neural-art-lstm",)
    assert experiment_of("figure9-vgg19").optimizers == ("neural-art-lstm-vgg19",)


class Mean(FeatureNetwork):
    """One layer that looks at one pixel at a time."""

    style_layers = ("a",)
    content_layer = "a"
    least_size = 2

    def __call__(self, pixels: jax.Array, layers: Collection[str]) -> dict[str, jax.Array]:
        return {"a": jnp.asarray(pixels) / 255.0}


class Still(LearnedOptimizer):
    """An optimizer that does not move."""

    def init(self, params: Any) -> Any:
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, updates), state


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let contents and styles be plain, each of a colour of its own, and the network simple."""
    pytest.importorskip("sklearn")

    def load_content(source: None, size: int, split: str, data_dir: object) -> np.ndarray:
        assert (source, split) == (None, "test")
        return np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None, None], (100, 8, 8, 3))

    monkeypatch.setattr(figure9, "load_content", load_content)
    monkeypatch.setattr(figure9, "style_path", lambda style, data_dir: Path(style))
    monkeypatch.setattr(figure9, "network", lambda net, data_dir: Mean())

    def read_picture(path: Path, size: int) -> np.ndarray:
        return np.full((8, 8, 3), 3 * len(path.stem), np.uint8)

    monkeypatch.setattr(figure9, "read_picture", read_picture)


# The first four have both sizes, and a photograph of either kind.
@pytest.mark.parametrize("count", [4, pytest.param(len(PIECES), marks=pytest.mark.slow)])
@pytest.mark.usefixtures("small")
def test_every_piece_is_styled_and_reported(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, reports = PIECES[:count], []
    monkeypatch.setattr(figure9, "PIECES", pieces)
    reproduction = reproduce(
        experiment_of("figure9"),
        budget="smoke",
        load=lambda name: Still(),
        begin=lambda name: Still(),
        progress=reports.append,
    )
    assert len(reports) == count
    json.dumps(reproduction.to_json())
    # What does not move is styled by no means, and trained as it begins.
    claims = judge_claims(CRITERIA["figure9"], reproduction.records)
    assert {c.id.partition("-")[2] for c in claims if c.holds} <= {"finite", "border", "content"}
    assert [c.holds for c in claims if "style" in c.id or "learned" in c.id] == [False] * 4
    assert reproduction.panels == {}
    assert reproduction.measured["steps"] == 6
    pictures = reproduction.measured["pictures"]
    assert [(p["content"], p["style"], p["size"]) for p in pictures] == list(pieces)
    figure = reproduction.plot()
    assert len(figure.axes) == 4 * count
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[1::4] == ["as it begins"] * count
    assert titles[::4] == [f"{p.size} × {p.size}" for p in pieces]
    assert titles[3::4] == [styling.TITLES[p.style] for p in pieces]


def test_a_triple_is_content_result_and_style() -> None:
    content, style = (np.full((8, 8, 3), value, np.uint8) for value in (200, 30))
    found = figure9.styled(
        (Still(), Still()), Mean(), PIECES[0], content, style, jax.random.key(0), num_steps=3
    )
    # It does not move, so the result is θ₀: the content with a little noise.
    assert abs(found.trained.theta - to_theta(content)).max() < 0.1
    assert abs(found.trained.theta - to_theta(content)).std() > 0.005
    assert found.before.content < 1e-12
    assert 0 < found.trained.terms.content < 0.01
    assert found.before.style > 10
    # Both rules face one f from one θ₀.
    np.testing.assert_array_equal(found.trained.theta, found.begun.theta)
    assert found.trained.f == found.begun.f


def test_it_needs_photographs(tmp_path: Path, sentence: object) -> None:
    (tmp_path / "style").mkdir()
    write_picture(tmp_path / "style" / "starry_night.png", np.zeros((4, 4, 3), np.uint8))
    said = sentence(figure9._pictures, PIECES[0], tmp_path)
    assert said.startswith(f"{tmp_path / TINY_IMAGENET} is missing")
