"""`convert`: a public checkpoint of a network as the file that neural art reads."""

from safetensors.numpy import save

from metadescent import arguments
from metadescent.commands.dispatch import run
from metadescent.console import console
from metadescent.data.networks import network_path
from metadescent.data.torchvision import from_torchvision, read_checkpoint
from metadescent.errors import UserError
from metadescent.files import write_atomically
from metadescent.problems import squeezenet, vgg19

_SHAPES = {"squeezenet": squeezenet.SHAPES, "vgg19": vgg19.SHAPES}


@run.register
def _convert(command: arguments.Convert) -> None:
    out = command.out or network_path(command.net, command.data_dir)
    if out.exists():
        raise UserError(f"{out} is there already; delete it or choose another place with --out")
    state = read_checkpoint(command.checkpoint)
    shapes, source = _SHAPES[command.net], str(command.checkpoint)
    arrays = from_torchvision(command.net, state, shapes, source, command.caffe)
    write_atomically(out, save(arrays))
    console().print(f"{len(arrays)} arrays of {command.net}: {out}")
