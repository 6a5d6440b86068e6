"""`convert`: public weights as the files that this package reads."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from metadescent._errors import UserError, require
from metadescent._files import is_stream
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, File


@dataclass(frozen=True)
class Convert(Command):
    """Convert public weights: the authors' .l2l, or PyTorch's VGG-19 or SqueezeNet 1.1."""

    place = 13

    checkpoint: Positional[Annotated[Path, arg(metavar="CHECKPOINT")]]
    """File to read; of a network torchvision's .safetensors or .pth (fetched by its usual name)."""
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
        """Refuse meaningless numbers."""
        if self.p is not None:
            require("p", self.p, 0.1, 80.0)
        if self.scale is not None:
            require("scale", self.scale, 0.0)

    def outputs(self) -> list[Path]:
        """Return the one file, unless it exists already."""
        out = self.out or self._place()
        if os.path.lexists(out) and not is_stream(out):
            raise UserError(f"{out} is there already; delete it or choose another place with --out")
        return [out]

    def run(self) -> None:
        """Convert."""
        from metadescent.cli.console import output

        (out,) = self.outputs()
        if self.kind == "lstm":
            output().print(f"{self._optimizer(out)}: {out}")
        else:
            output().print(f"{self._network(out)} arrays of {self.kind}: {out}")

    def _place(self) -> Path:
        from metadescent.problems.data.networks import network_path

        if self.kind == "lstm":
            return self.checkpoint.with_suffix(".safetensors")
        return network_path(self.kind, self.data_dir)

    def _optimizer(self, out: Path) -> str:
        """Write the authors' LSTM as one of ours; return its specification."""
        import hashlib

        from metadescent._files import read_bytes
        from metadescent.registry import spec_of
        from metadescent.zoo.file import save
        from metadescent.zoo.l2l import load_l2l

        m = load_l2l(self.checkpoint, p=self.p, scale=self.scale)
        # The digest lets the card say which file of the authors' it was.
        digest = hashlib.sha256(read_bytes(self.checkpoint)).hexdigest()
        origin = {"file": self.checkpoint.name, "sha256": digest}
        save(out, m, converted_from=origin)
        return str(spec_of(m))

    def _network(self, out: Path) -> int:
        """Write torchvision's network for neural art; return the number of its arrays."""
        from safetensors.numpy import save

        from metadescent._files import write_atomically
        from metadescent.problems.data.networks import PUBLISHED
        from metadescent.problems.data.store import data_dir, fetch
        from metadescent.problems.data.torchvision import from_torchvision, read_checkpoint
        from metadescent.problems.neural_art import squeezenet, vgg19

        remote = PUBLISHED[self.kind]
        checkpoint = self.checkpoint
        if not checkpoint.exists() and str(checkpoint) == Path(remote.path).name:
            checkpoint = fetch(remote, data_dir(self.data_dir))
        state = read_checkpoint(checkpoint)
        shapes = {"squeezenet": squeezenet.SHAPES, "vgg19": vgg19.SHAPES}[self.kind]
        arrays = from_torchvision(self.kind, state, shapes, str(self.checkpoint), self.caffe)
        write_atomically(out, save(arrays))
        return len(arrays)
