"""`convert`: public weights as the files that this package reads."""

import hashlib
from pathlib import Path

from safetensors.numpy import save

from metadescent._errors import UserError
from metadescent._files import read_bytes, write_atomically
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.console import console
from metadescent.problems.data.networks import network_path
from metadescent.problems.data.torchvision import from_torchvision, read_checkpoint
from metadescent.problems.neural_art import squeezenet, vgg19
from metadescent.zoo import file as artifact
from metadescent.zoo.l2l import load_l2l

_SHAPES = {"squeezenet": squeezenet.SHAPES, "vgg19": vgg19.SHAPES}


@run.register
def _convert(command: arguments.Convert) -> None:
    out = command.out or _place(command)
    if out.exists():
        raise UserError(f"{out} is there already; delete it or choose another place with --out")
    if command.kind == "lstm":
        console().print(f"{_optimizer(command, out)}: {out}", markup=False)
    else:
        console().print(f"{_network(command, out)} arrays of {command.kind}: {out}")


def _place(command: arguments.Convert) -> Path:
    if command.kind == "lstm":
        return command.checkpoint.with_suffix(".safetensors")
    return network_path(command.kind, command.data_dir)


def _optimizer(command: arguments.Convert, out: Path) -> str:
    """Write the authors' LSTM as one of ours; return its specification."""
    m = load_l2l(command.checkpoint, p=command.p, scale=command.scale)
    spec = f"lstm(layers={m.layers}, p={m.p}, scale={m.scale})"
    digest = hashlib.sha256(read_bytes(command.checkpoint)).hexdigest()
    artifact.save(
        out, m, optimizer=spec, converted_from={"file": command.checkpoint.name, "sha256": digest}
    )
    return spec


def _network(command: arguments.Convert, out: Path) -> int:
    """Write torchvision's network as one of neural art; return the number of its arrays."""
    state = read_checkpoint(command.checkpoint)
    shapes, source = _SHAPES[command.kind], str(command.checkpoint)
    arrays = from_torchvision(command.kind, state, shapes, source, command.caffe)
    write_atomically(out, save(arrays))
    return len(arrays)
