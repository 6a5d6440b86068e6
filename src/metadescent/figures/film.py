"""Films: pictures in one GIF or WebP file, or in an MP4 file if the program ffmpeg is there."""

import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from metadescent._errors import UserError
from metadescent._files import write_atomically

FILMS = (".gif", ".webp", ".mp4")
_MILLISECONDS, _HELD = 80, 2000  # for each frame, and for the last
_SAMPLE = 1 << 17


def check_film(path: Path) -> None:
    """Raise a UserError if nothing can write such a film."""
    if path.suffix.lower() == ".mp4" and shutil.which("ffmpeg") is None:
        raise UserError(
            f"{path} takes the program ffmpeg, which is not on the PATH; let the film end in .gif "
            "or .webp, or install ffmpeg"
        )


def write_film(path: Path, frames: Sequence[UInt8[np.ndarray, "height width 3"]]) -> None:
    """Write a film, atomically, in the format of its suffix; the last frame stays for a while."""
    from PIL import Image

    if path.suffix.lower() == ".mp4":
        write_atomically(path, _mp4(path, frames))
        return
    images = [Image.fromarray(frame) for frame in frames]
    options = {"quality": 90}
    if path.suffix.lower() == ".gif":
        # All frames have the same 256 colours, so that nothing flickers; they are from a sample.
        every = math.isqrt(len(frames) * frames[0].size // _SAMPLE) + 1
        sample = np.concatenate([frame[::every, ::every].reshape(1, -1, 3) for frame in frames], 1)
        colours = Image.fromarray(sample).quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1)
        images = [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in images]
        options = {}
    durations, content = [_MILLISECONDS] * (len(images) - 1) + [_HELD], io.BytesIO()
    first, *others = images
    first.save(
        content,
        format=path.suffix[1:].upper(),
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        **options,
    )
    write_atomically(path, content.getvalue())


def _mp4(path: Path, frames: Sequence[UInt8[np.ndarray, "height width 3"]]) -> bytes:
    """Return H.264 with even sides, which most players need."""
    height, width, _ = frames[0].shape
    held = [frames[-1]] * (_HELD // _MILLISECONDS - 1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "film.mp4")
        words = (
            f"ffmpeg -loglevel error -f rawvideo -pix_fmt rgb24 -s {width}x{height} "
            f"-r {1000 / _MILLISECONDS:g} -i - -vf pad=ceil(iw/2)*2:ceil(ih/2)*2 "
            f"-pix_fmt yuv420p -movflags +faststart {out.name}"
        )
        pixels = b"".join(frame.tobytes() for frame in [*frames, *held])
        done = subprocess.run(words.split(), input=pixels, cwd=folder, capture_output=True)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().partition("\n")[0][:200]
            raise UserError(f"ffmpeg cannot write {path}: {reason}; let the film end in .gif")
        return out.read_bytes()
