"""The arguments of every command, as dataclasses; imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from metadescent._errors import UserError, require
from metadescent.runs.memory import parse_bytes
from metadescent.runs.recipe import Recipe

DataDir = Annotated[
    Path | None, arg(metavar="PATH", help="Folder of the datasets; else $METADESCENT_DATA.")
]
Workers = Annotated[int, arg(help="Processes of this machine that share independent runs.")]
Scheduler = Annotated[
    str | None,
    arg(metavar="ADDRESS", help="Dask's, whose cluster shares independent runs instead."),
]
File = Annotated[Path | None, arg(metavar="PATH")]
Size = Annotated[str | None, arg(metavar="SIZE")]
Names = Annotated[str, arg(metavar="NAME,…")]
Run = Positional[Annotated[Path, arg(metavar="RUN")]]
Problem = Positional[Annotated[str, arg(metavar="PROBLEM")]]
Optimizer = Positional[Annotated[str, arg(metavar="OPTIMIZER")]]


@dataclass(frozen=True)
class List:
    """List the problems, the kinds of optimizer and the pretrained optimizers."""


@dataclass(frozen=True)
class NewProblem:
    """Write a file to start a problem of one's own from; it trains as it is."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """Of the problem; the file is NAME.py in this folder."""


@dataclass(frozen=True)
class Demo:
    """Learn an optimizer for quadratics and compare it with tuned hand-designed ones (minutes)."""

    out: Path = Path("runs/demo")
    """Folder for the optimizer, the figure and the figures behind it."""
    epochs: int = 50
    """Epochs of meta-training."""
    seeds: int = 1000
    """Fresh functions to compare on."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("epochs", self.epochs, 1)
        require("seeds", self.seeds, 1)


@dataclass(frozen=True)
class Train:
    """Meta-train an optimizer on a problem; defaults are the recipe that suits the problem."""

    problem: Problem
    """Name such as mnist, module:NAME or file.py:NAME; options as in quadratic(dimension=20)."""
    recipe: OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    out: File = None
    """Run folder; runs/PROBLEM if not given."""
    resume: bool = False
    """Go on with the run in the folder, after a stop or a crash."""
    search: int = 0
    """Pick the meta-rate by random search: this many short trials."""
    curriculum: Annotated[str | None, arg(metavar="STEPS,…")] = None
    """Train in stages of longer and longer horizons, such as 100,200,500,1000."""
    memory_budget: Size = None
    """Pick the quickest form whose predicted peak fits, such as 2GiB."""
    tensorboard: bool = False
    """Write what metrics.jsonl has for TensorBoard too, in the run's folder."""
    seeds: int = 1
    """Train this often, with seeds from --seed on, each in a folder of its own."""
    workers: Workers = 1
    scheduler: Scheduler = None
    processes: int = 0
    """Spread each meta-step over this many; of this machine, if there is no coordinator."""
    coordinator: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Address of process 0, where processes are started one by one; on several machines, say."""
    process_id: Annotated[int | None, arg(metavar="INT")] = None
    """Number of this process, from 0, where there is a coordinator."""
    restarts: int = 0
    """Start again, from the last checkpoint, as often as this where a process is lost."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("search", "processes", "restarts"):
            require(name, getattr(self, name), 0)
        for name in ("seeds", "workers"):
            require(name, getattr(self, name), 1)
        if (self.workers > 1 or self.scheduler) and not self.search and self.seeds == 1:
            raise UserError(
                "there is one run, and --workers and --scheduler are for several; try --processes, "
                "or more --seeds"
            )
        if self.tensorboard and self.seeds > 1:
            raise UserError(
                f"--seeds is {self.seeds}, and TensorBoard's log is of one run; leave one of them "
                "out"
            )
        if self.curriculum is not None:
            parse_horizons(self.curriculum)
            if self.seeds > 1:
                raise UserError(
                    f"--seeds is {self.seeds}, and a curriculum has one; run it for each --seed"
                )
        if self.memory_budget is not None:
            parse_bytes(self.memory_budget)


def parse_horizons(text: str) -> tuple[int, ...]:
    """Return the horizons of a curriculum.

    Example:
        >>> parse_horizons("100, 200")
        (100, 200)
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"{text!r} are no horizons; try 100,200,500,1000") from None


@dataclass(frozen=True)
class Evaluate:
    """Compare an optimizer with tuned hand-designed ones on fresh problems."""

    optimizer: Optimizer
    """Pretrained optimizer, its file, or a run folder."""
    problem: Problem
    """Problem to optimize."""
    steps: int = 100
    """Optimization steps."""
    seeds: int = 64
    """Fresh problems."""
    tune_seeds: int = 0
    """Problems that each rate is tuned on; 0: as many as `seeds`, and at least 32."""
    against: Names = "sgd,nag,rmsprop,adam"
    """Hand-designed optimizers, each tuned for this problem and horizon; lbfgs is known too."""
    json: File = None
    """Write the curves here."""
    plot: File = None
    """Write the learning curves here, as .svg and .png."""
    seed: int = 0
    """Draws the problems."""
    workers: Workers = 1
    scheduler: Scheduler = None
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("steps", "seeds", "workers"):
            require(name, getattr(self, name), 1)
        require("tune_seeds", self.tune_seeds, 0)
        require("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Tune:
    """Find the learning rate that serves a hand-designed optimizer best."""

    name: Positional[Literal["sgd", "nag", "rmsprop", "adam", "lbfgs"]]
    """Hand-designed optimizer."""
    problems: Positional[Annotated[tuple[str, ...], arg(metavar="PROBLEM …")]]
    """Problems to tune it for, each by itself."""
    steps: int = 100
    """Horizon."""
    seeds: int = 64
    """Problems a rate."""
    seed: int = 0
    """Draws the problems."""
    workers: Workers = 1
    scheduler: Scheduler = None
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("steps", "seeds", "workers"):
            require(name, getattr(self, name), 1)
        require("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Inspect:
    """Show what an optimizer's file says of it, and its parameters."""

    optimizer: Optimizer
    """Pretrained optimizer, its file, or a run folder."""


@dataclass(frozen=True)
class Doctor:
    """Say whether a meta-training run has learned and, if not, why not and what to try."""

    run: Run
    """Run folder."""
    on: Annotated[str | None, arg(metavar="PROBLEM")] = None
    """Problem to examine it on; the one that it was trained on if not given."""
    seeds: int = 32
    """Fresh problems."""
    json: File = None
    """Write measurements and findings here."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("seeds", self.seeds, 2)


@dataclass(frozen=True)
class Report:
    """Write one page of HTML on a run: configuration, curves, comparison, pictures and verdicts."""

    run: Run
    """Run folder."""
    out: File = None
    """File to write; report.html in the run's folder if not given."""
    seeds: int = 32
    """Fresh problems to compare on."""
    against: Names = "sgd,nag,rmsprop,adam"
    """Hand-designed optimizers, each tuned for this problem and horizon."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("seeds", self.seeds, 2)


@dataclass(frozen=True)
class Visualize:
    """Draw the updates an optimizer proposes, and those others would have proposed (appendix B)."""

    optimizer: Optimizer
    """Pretrained optimizer, its file, or a run folder."""
    problem: Problem
    """Problem to optimize."""
    steps: int = 100
    """Steps of the trajectory; functions of the gradient are drawn for the first 32."""
    coordinates: int = 2
    """Coordinates to draw, by chance among those that have a gradient."""
    against: Names = "sgd,adam"
    """Hand-designed optimizers, each tuned for this problem and horizon."""
    seeds: int = 32
    """Problems that each rate is judged on."""
    out: File = None
    """Folder for the pictures; runs/visualize/OPTIMIZER if not given."""
    seed: int = 0
    """Draws the problem and the coordinates."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("steps", self.steps, 1)
        require("coordinates", self.coordinates, 1)
        require("seeds", self.seeds, 1)
        require("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Stylize:
    """Paint a picture in the style of another (section 3.4)."""

    content: Positional[Annotated[Path, arg(metavar="CONTENT")]]
    """Picture to paint, of which the middle square is taken; grace_hopper, china and flower are
    embedded."""
    style: Positional[Annotated[Path, arg(metavar="STYLE")]]
    """Picture to take the style from, an embedded one, or a name in the data folder such as
    starry_night."""
    out: Annotated[Path, arg(metavar="PATH")] = Path("styled.png")
    """Write the result here: .png, .jpg or .webp."""
    size: int = 256
    """Height and width of the result in pixels."""
    steps: int = 128
    """Gradients to evaluate, those of a line search among them."""
    optimizer: Annotated[str, arg(metavar="NAME")] = ""
    """Learned optimizer by name, file or run folder, or sgd, nag, rmsprop, adam or lbfgs; if empty,
    the pretrained one of the network."""
    rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Learning rate of a hand-designed optimizer; one that was tried out if not given."""
    compare: bool = False
    """Run all hand-designed optimizers too; write a strip of three pictures and the curves."""
    frames: int = 0
    """Write the picture after every so many gradients too; 0: never."""
    net: Literal["squeezenet", "vgg19"] = "squeezenet"
    """Network whose features are compared."""
    start: Literal["content", "noise"] = "content"
    """Begin with the content picture or with grey."""
    alpha: Annotated[float | None, arg(metavar="α")] = None
    """Weight of the content."""
    beta: Annotated[float | None, arg(metavar="β")] = None
    """Weight of the style."""
    gamma: Annotated[float | None, arg(metavar="γ")] = None
    """Weight of smoothness."""
    seed: int = 0
    """Draws the noise in the first picture."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("size", self.size, 16, 4096)
        require("steps", self.steps, 1)
        require("frames", self.frames, 0)
        require("seed", self.seed, 0, 2**32 - 1)
        for name in ("alpha", "beta", "gamma", "rate"):
            if getattr(self, name) is not None:
                require(name, getattr(self, name), 0.0)


@dataclass(frozen=True)
class Convert:
    """Convert public weights: the authors' .l2l, or PyTorch's VGG-19 or SqueezeNet 1.1."""

    checkpoint: Positional[Annotated[Path, arg(metavar="CHECKPOINT")]]
    """File to read; of a network, torchvision's .safetensors or, where PyTorch is, .pth."""
    kind: Positional[Annotated[Literal["lstm", "squeezenet", "vgg19"], arg(metavar="KIND")]]
    """What it holds: lstm for the authors' optimizer, squeezenet or vgg19 for neural art."""
    p: Annotated[float | None, arg(metavar="P")] = None
    """Of an lstm: the constant of its preprocessing, the authors' 5 if not given."""
    scale: Annotated[float | None, arg(metavar="SCALE")] = None
    """Of an lstm: the factor on its output; the authors' 0.01, or 1 without preprocessing."""
    caffe: bool = False
    """The network takes blue, green, red from 0 to 255, as Caffe's did, not torchvision's."""
    out: File = None
    """Write here; if not given, an lstm beside CHECKPOINT and a network in the data folder."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.p is not None:
            require("p", self.p, 0.1, 80.0)
        if self.scale is not None:
            require("scale", self.scale, 0.0)


@dataclass(frozen=True)
class Reproduce:
    """Make a figure of the paper, and judge the paper's claims about it."""

    figure: Positional[Annotated[str, arg(metavar="FIGURE")]]
    """Such as figure4."""
    budget: Literal["smoke", "cpu", "paper"] = "cpu"
    """Seconds, minutes or hours."""
    retrain: bool = False
    """Train the optimizers anew instead of taking the pretrained ones."""
    json: File = None
    """Write panels and claims here."""
    out: Path = Path("runs")
    """Folder for the figure."""
    seed: int = 0
    """Draws the problems."""
    workers: Workers = 1
    scheduler: Scheduler = None
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("workers", self.workers, 1)
        require("seed", self.seed, 0, 2**32 - 1)
