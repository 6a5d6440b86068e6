"""`stylize`: one picture in the style of another, by one optimizer or by all of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from metadescent._errors import UserError, require
from metadescent._files import is_stream
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, read_by
from metadescent.descent.baselines import BASELINES


@dataclass(frozen=True)
class Stylize(Command):
    """Paint a picture in the style of another (section 3.4)."""

    place = 12

    content: Positional[Annotated[Path, arg(metavar="CONTENT")]]
    """Picture to paint; grace_hopper, china and flower are embedded."""
    style: Positional[Annotated[Path, arg(metavar="STYLE")]]
    """Picture to take the style from; an embedded one; or one of the data folder, by its name."""
    out: Annotated[Path, arg(metavar="PATH")] = Path("styled.png")
    """Write the result here: .png, .jpg or .webp."""
    size: int = 256
    """Longer side of the result in pixels; it is as wide, for its height, as the content is."""
    steps: int = 128
    """Gradients to evaluate, those of a line search among them."""
    optimizer: Annotated[
        str,
        arg(
            metavar="NAME",
            help="Learned optimizer by name, file, run folder or hf://user/repo, or hand-designed: "
            f"{', '.join(BASELINES)}; if empty, the pretrained one of the network.",
        ),
    ] = ""
    rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Learning rate of a hand-designed optimizer; one that was tried out if not given."""
    compare: bool = False
    """Run hand-designed ones too, at rates that were tried out; write a strip and the curves."""
    frames: Annotated[str, arg(metavar="N,FILE")] = ""
    """Write the picture after every N gradients too, or a film (.gif, .webp, .mp4), or both."""
    net: Literal["squeezenet", "vgg19"] = "squeezenet"
    """Network whose features are compared."""
    start: Literal["content", "noise"] = "content"
    """Begin with the content picture or with grey."""
    # α and β are the problem's; γ is larger, by eye: docs/neural-art.md.
    alpha: Annotated[float, arg(metavar="α")] = 1.0
    """Weight of the content."""
    beta: Annotated[float, arg(metavar="β")] = 5.0
    """Weight of the style."""
    gamma: Annotated[float, arg(metavar="γ")] = 4.0
    """Weight of smoothness."""
    seed: int = 0
    """Draws the noise in the first picture."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        require("size", self.size, 16, 4096)
        require("steps", self.steps, 1)
        require("seed", self.seed, 0, 2**32 - 1)
        for name in ("alpha", "beta", "gamma", "rate"):
            if getattr(self, name) is not None:
                require(name, getattr(self, name), 0.0)
        self.in_between()  # raises an error if the frames are meaningless

    def outputs(self) -> list[Path]:
        """Return the picture, and the other pictures that are written."""
        from metadescent.figures.film import check_film
        from metadescent.figures.output import figure_paths
        from metadescent.problems.data.pictures import format_of

        format_of(self.out)  # raises an error if the name is not a picture's
        numbered, films = self.in_between()
        for film in films:
            check_film(film)
        if not (numbered or self.compare):
            return [self.out, *films]
        if is_stream(self.out):
            raise UserError(
                f"--frames and --compare write beside {self.out}, which is no file with a place of "
                "its own; leave them out or name a file such as styled.png"
            )
        # A line search may stop at any number of gradients.
        counts = range(self.steps + 1) if numbered else ()
        frames = [self.beside(f"{count:04d}") for count in counts]
        if not self.compare:
            return [self.out, *films, *frames]
        curves = figure_paths(self.beside("curves").with_suffix(""))
        return [self.out, *films, *frames, self.beside("strip"), *curves]

    def in_between(self) -> tuple[int, list[Path]]:
        """Return the number of gradients between pictures, 0 for no pictures, and the films."""
        from metadescent.figures.film import FILMS

        words = [word.strip() for word in self.frames.split(",") if word.strip()]
        films = [Path(word) for word in words if Path(word).suffix.lower() in FILMS]
        numbers = [word for word in words if Path(word).suffix.lower() not in FILMS]
        try:
            (number,) = map(int, numbers or "0")
        except ValueError as error:
            raise UserError(
                f"frames is {self.frames!r} and must be a number of gradients, a film that ends in "
                f"{', '.join(FILMS)}, or both; try --frames 16,film.gif"
            ) from error
        require("frames", number, 0)
        return number, films

    def beside(self, name: str) -> Path:
        """Return the path of a picture that is written with the result."""
        return self.out.with_stem(f"{self.out.stem}-{name}")

    def inputs(self) -> list[Path]:
        """Return the two pictures."""
        from metadescent.problems.data.content import content_path, style_path

        pictures = content_path(str(self.content)), style_path(str(self.style), self.data_dir)
        return [*pictures, *read_by(self.optimizer)]

    def run(self) -> None:
        """Paint."""
        from metadescent.cli.painting import paint

        paint(self)
