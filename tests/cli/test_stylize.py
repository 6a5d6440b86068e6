"""`stylize`, on a network drawn at random and tiny pictures."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from metadescent import zoo
from metadescent.cli.painting import problem_of, reported
from metadescent.cli.stylize import Stylize
from metadescent.descent.baselines import BASELINES
from metadescent.descent.trace import Visited, descend
from metadescent.figures.paper.styling import OPTIMIZERS
from metadescent.problems.data.embedded import embedded_names
from metadescent.problems.data.pictures import read_picture, write_picture
from metadescent.problems.neural_art.neural_art import ALPHA, BETA, GAMMA
from metadescent.problems.neural_art.squeezenet import SqueezeNet
from metadescent.problems.neural_art.tiny_imagenet import NETWORKS
from metadescent.registry import make_optimizer

SMALL = ("--size", "16", "--steps", "3")
HUGE = f"{float(jnp.finfo(jnp.zeros(0).dtype).max) ** 0.78:.0e}"  # 1e+30 in 32 bits


@pytest.fixture(scope="module")
def compiled(data: Path) -> None:
    """Compile what all pictures of 16 × 16 take, by no test's fault."""
    f, _ = problem_of(Stylize(data / "photo.png", Path("waves"), size=16, data_dir=data))
    key = jax.random.key(0)
    assert len(list(descend(BASELINES["adam"].at(0.1), f, f.init(key), key, num_gradients=1))) == 2


@pytest.fixture
def stylize(metadescent: Callable, data: Path, compiled: None) -> Callable:
    def run(*words: str) -> tuple:
        content = str(data / "photo.png")
        return metadescent("stylize", content, "waves", *SMALL, "--data-dir", str(data), *words)

    return run


@pytest.mark.slow
def test_it_writes_the_picture_and_its_frames(stylize: Callable, tmp_path: Path) -> None:
    status, out, said = stylize("--out", "a/b.png", "--frames", "2")
    assert (status, out) == (0, f"Styled picture: {Path('a', 'b.png')}\n"), said
    assert said.splitlines()[-1].startswith("stylize 3/3")
    assert " left" in said
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["b-0000.png", "b-0002.png", "b.png"]
    first, result = (read_picture(tmp_path / "a" / name, 16) for name in (names[0], "b.png"))
    assert not np.array_equal(first, result)


def test_a_frame_that_a_line_search_passes_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = Stylize(Path("a"), Path("b"), optimizer="lbfgs", frames="3")
    visited = [Visited(jnp.zeros((2, 2, 3)), jnp.ones(()), n) for n in (0, 4, 5, 6, 13, 14)]
    assert list(reported(iter(visited), "lbfgs", command, lambda *_: None, [])) == visited
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"styled-{n:04d}.png" for n in (0, 4, 6, 13)]


@pytest.mark.slow
def test_compare_adds_the_strip_and_everybody_s_curves(
    stylize: Callable, data: Path, tmp_path: Path
) -> None:
    status, out, said = stylize("--compare", "--out", "s.png")
    assert status == 0, said
    assert said.splitlines()[-1].startswith("stylize 18/18")
    # Of AdamW no rate was tried out.
    assert "adamw" not in out
    for name in ("neural-art-lstm", "adam", "sgd", "nag", "rmsprop", "lbfgs"):
        assert any(line.split()[:1] == [name] for line in out.splitlines())
    found = {path.name for path in tmp_path.glob("s*")}
    assert found == {"s.png", "s-strip.png", "s-curves.svg", "s-curves.png"}
    strip = np.asarray(Image.open(tmp_path / "s-strip.png"))
    paths = data / "photo.png", tmp_path / "s.png", data / "style" / "waves.png"
    shown = [place_of(read_picture(path, 16, least=16), strip) for path in paths]
    content, result, style = shown
    assert content < style < result
    assert " least loss  " in out


def place_of(picture: np.ndarray, strip: np.ndarray) -> int:
    """Return the column where a picture is in a strip, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(strip, picture.shape)[:, :, 0]
    ((_, column),) = np.argwhere((windows == picture).all((2, 3, 4)))
    return int(column)


@pytest.mark.slow
@pytest.mark.parametrize("sides", [(48, 32), (25, 200)])
def test_a_picture_keeps_its_sides_under_every_optimizer(
    metadescent: Callable, data: Path, tmp_path: Path, sides: tuple[int, int]
) -> None:
    drawn = np.random.default_rng(2).integers(0, 256, (*sides[::-1], 3), dtype=np.uint8)
    write_picture(tmp_path / "wide.png", drawn)
    words = ("--size", "40", "--steps", "3", "--compare", "--data-dir", str(data))
    status, out, said = metadescent("stylize", "wide.png", "waves", *words)
    assert status == 0, said
    width, height = (max(16, round(40 * side / max(sides))) for side in sides)
    assert f"{width} × {height} pixels, 3 gradients" in out
    with Image.open(tmp_path / "styled.png") as result:
        assert result.size == (width, height)
    assert "nan" not in out
    strip = np.asarray(Image.open(tmp_path / "styled-strip.png"))
    place_of(read_picture(tmp_path / "styled.png", 40, least=16), strip)


def test_a_film_ends_with_the_result(stylize: Callable, tmp_path: Path) -> None:
    status, out, said = stylize("--optimizer", "adam", "--frames", "2,a/f.webp,f.GIF")
    assert status == 0, said
    films = [f"Film of 3 frames: {path}" for path in (Path("a", "f.webp"), "f.GIF")]
    assert out.splitlines() == ["Styled picture: styled.png", *films]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a", "f.GIF", "styled-0000.png", "styled-0002.png", "styled.png"]
    with Image.open(tmp_path / "f.GIF") as film, Image.open(tmp_path / "styled.png") as result:
        assert (film.n_frames, film.size) == (3, result.size)
        film.seek(2)
        last, result = (np.asarray(image.convert("RGB"), float) for image in (film, result))
    assert abs(last - result).mean() < 10


def test_a_film_without_a_number_has_at_most_65_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = Stylize(Path("a"), Path("b"), optimizer="sgd", frames="f.gif", steps=1000)
    visited = [Visited(jnp.zeros((2, 2, 3)), jnp.ones(()), n) for n in range(1001)]
    film: list[np.ndarray] = []
    list(reported(iter(visited), "sgd", command, lambda *_: None, film))
    assert 50 <= len(film) <= 65
    assert not list(tmp_path.iterdir())


def test_the_picture_is_smooth_and_else_what_the_problem_asks_for(data: Path) -> None:
    f, _ = problem_of(Stylize(data / "photo.png", Path("waves"), size=16, data_dir=data))
    assert isinstance(f.network, SqueezeNet)
    assert f.network.smooth
    assert (f.alpha, f.beta) == (ALPHA, BETA)
    assert f.gamma == 4.0 * GAMMA


def test_every_network_has_a_pretrained_optimizer() -> None:
    assert set(OPTIMIZERS) == set(NETWORKS)
    assert set(OPTIMIZERS.values()) <= set(zoo.names())


@pytest.mark.slow
def test_it_paints_by_the_optimizer_of_the_network(
    stylize: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIMIZERS, "squeezenet", "rmsprop")
    status, _, said = stylize()
    assert status == 0, said
    assert said.splitlines()[-1].endswith("rmsprop is done")


@pytest.mark.slow
def test_a_learned_optimizer_by_its_file(stylize: Callable, tmp_path: Path) -> None:
    spec = "lstm(layers=(2,))"
    m = make_optimizer(spec, jax.random.key(0))
    zoo.save(tmp_path / "mine.safetensors", m, optimizer=spec)
    status, _, said = stylize("--optimizer", "mine.safetensors", "--start", "noise")
    assert status == 0, said
    assert (tmp_path / "styled.png").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--optimizer", "adamm"), "there is no optimizer 'adamm'; did you mean 'adam'?"),
        (
            ("--optimizer", "quadratic-lstm", "--rate", "1"),
            "quadratic-lstm has no rate; leave --rate out or take sgd, nag, rmsprop, adam, adamw, "
            "lbfgs",
        ),
        (
            ("--out", "s.txt"),
            "'s.txt' names no format that pictures are written in; "
            "let it end in .png, .jpg, .jpeg, .webp",
        ),
        (("--steps", "0"), "steps is 0 and must be at least 1"),
        (("--frames", "-1"), "frames is -1 and must be at least 0"),
        *(
            (
                ("--frames", words),
                f"frames is '{words}' and must be a number of gradients, a film that ends in .gif, "
                ".webp, .mp4, or both; try --frames 16,film.gif",
            )
            for words in ("film.avi", "2,3", "1.5")
        ),
        (("--size", "8"), "size is 8 and must be from 16 to 4096"),
        (("--beta", "-1"), "beta is -1.0 and must be at least 0"),
        (
            ("--optimizer", "sgd", "--rate", HUGE, "--out", "kept.png"),
            "the loss is not finite under sgd; try a lower --rate",
        ),
        (
            ("--optimizer", "adamw"),
            "no rate of adamw was tried out on pictures; try --rate 0.05",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    stylize: Callable, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    status, out, said = stylize(*words)
    assert (status, out, said.splitlines()[-1]) == (2, "", f"metadescent: {sentence}")
    assert not list(tmp_path.glob("*.*"))


def test_pictures_that_are_not_there(metadescent: Callable, data: Path) -> None:
    place = ("--data-dir", str(data), *SMALL)
    status, _, said = metadescent("stylize", "none.png", "waves", *place)
    assert (status, said) == (
        2,
        "metadescent: there is no picture and no file 'none.png'; known are "
        f"{', '.join(embedded_names())}, or name a picture's file\n",
    )
    status, _, said = metadescent("stylize", str(data / "photo.png"), "wave", *place)
    assert status == 2
    known = ", ".join(["waves", *embedded_names()])
    assert said.endswith(f"; known are {known}, or name a picture's file\n")


def test_embedded_pictures_need_no_file(metadescent: Callable, data: Path) -> None:
    words = ("stylize", "grace_hopper", "grace_hopper", *SMALL, "--data-dir", str(data))
    status, out, said = metadescent(*words)
    assert (status, out) == (0, "Styled picture: styled.png\n"), said


def save_kinds(folder: Path) -> None:
    """Write pictures as people have them, and files that are none."""
    drawn = np.random.default_rng(1).integers(0, 256, (40, 31, 3), dtype=np.uint8)
    photo = Image.fromarray(drawn)
    photo.convert("L").save(folder / "grey.png")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    clear = photo.convert("RGBA")
    clear.putalpha(Image.new("L", clear.size, 60))
    clear.save(folder / "transparent.png")
    photo.resize((3, 2)).save(folder / "tiny.png")
    photo.resize((3000, 2000)).save(folder / "huge.jpg")
    whole = (folder / "transparent.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")


@pytest.mark.parametrize(
    "kind", ["grey.png", "cmyk.jpg", "transparent.png", "tiny.png", "huge.jpg"]
)
def test_pictures_of_every_kind_are_painted(
    kind: str, metadescent: Callable, data: Path, tmp_path: Path
) -> None:
    save_kinds(tmp_path)
    place = (*SMALL, "--data-dir", str(data))
    status, out, said = metadescent("stylize", kind, kind, *place, "--out", "found.png")
    assert (status, out) == (0, "Styled picture: found.png\n"), said
    found, content = (
        read_picture(tmp_path / name, 16, least=16).astype(int) for name in ("found.png", kind)
    )
    assert 0 < abs(found - content).mean() < 60


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("broken.png", "broken.png is a damaged picture: "),
        ("text.png", "text.png is not a picture of a known format; try a JPEG or PNG"),
    ],
)
@pytest.mark.parametrize("as_style", [False, True])
def test_a_damaged_picture_is_refused_in_one_sentence(
    kind: str, sentence: str, as_style: bool, metadescent: Callable, data: Path, tmp_path: Path
) -> None:
    save_kinds(tmp_path)
    pictures = ("grey.png", kind) if as_style else (kind, "waves")
    status, out, said = metadescent("stylize", *pictures, *SMALL, "--data-dir", str(data))
    assert (status, out) == (2, "")
    assert said.startswith(f"metadescent: {sentence}")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "styled.png").exists()
