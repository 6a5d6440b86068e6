"""Hostile files: each is read or refused in one sentence; no code runs; no other file changes."""

import gzip
import io
import json
import lzma
import pickle
import random
import struct
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import guard
import jax
import numpy as np
from mutations import mutated, mutated_json, mutated_safetensors
from PIL import Image
from safetensors.numpy import save

from metadescent import zoo
from metadescent._errors import UserError
from metadescent.problems.data import load_cifar10, read_idx
from metadescent.problems.data.networks import load_network, network_path
from metadescent.problems.data.pictures import read_picture, read_pictures
from metadescent.registry import make_optimizer
from metadescent.runs.checkup import measurements, read_checkup
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.look import Look
from metadescent.runs.choice.sizes import Sizes
from metadescent.runs.doctor import diagnose
from metadescent.runs.folder import CONFIG, differences, read_config
from metadescent.runs.log import read_metrics, read_stopped
from metadescent.runs.recipe import Recipe, recipe_from
from metadescent.zoo import file as artifact
from metadescent.zoo.l2l import load_l2l
from metadescent.zoo.tensors import read_tensors


class Target(NamedTuple):
    """A kind of file: its share of all inputs, whole ones to begin with, and how it is read."""

    share: float
    name: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    change: Callable[[bytes, random.Random], bytes] | None = None


def run(folder: Path, count: int, seed: int) -> tuple[Counter, list]:
    """Read `count` mutated files; return how many of each kind, and what went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    (folder / f"{guard.CANARY}.py").write_text("import sys\nsys.canary = True\n")
    sys.path.insert(0, str(folder))
    watch, by_kind = guard.Guard(folder), targets(folder)
    tried, lost = Counter(), []
    for target in by_kind.values():
        # Once whole, so that what is imported and compiled for it is no part of what is watched.
        for data in target.seeds:
            with suppress(UserError):
                feed(folder, target, data, None)
    began = guard.peak()
    with guard.little_memory():
        for kind, target in by_kind.items():
            for index in range(max(1, round(count * target.share))):
                # Each by its own number, so that one can be made again without the others.
                chance = random.Random(f"{seed} {kind} {index}")
                data = chance.choice(target.seeds)
                if target.change and chance.random() < 0.6:
                    data = target.change(data, chance)
                if not target.change or chance.random() < 0.5:
                    data = mutated(data, target.seeds, chance)
                tried[kind] += 1
                said = feed(folder, target, data, watch)
                if said:
                    lost.append((kind, f"{kind}, seed {seed}, number {index}: {said}"))
    print(f"files: memory grew by {(guard.peak() - began) >> 20} MiB at most", file=sys.stderr)
    return tried, lost


def feed(folder: Path, target: Target, data: bytes, watch: guard.Guard | None) -> str:
    """Let a file be read; return what went wrong, if anything did."""
    path = folder / target.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if watch is None:
        target.read(path)
        return ""
    try:
        with watch.watching():
            target.read(path)
    except UserError as error:
        if not str(error) or "\n" in str(error) or len(str(error)) > 2000:
            return f"no sentence: {str(error)[:300]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "; ".join(watch.seen)


def targets(folder: Path) -> dict[str, Target]:
    """Return the kinds of files."""
    files = safetensors(folder)
    run_folder = folder / "run"
    run_folder.mkdir(exist_ok=True)
    config = {"problem": "quadratic", "recipe": asdict(Recipe(optimizer="lstm(layers=(2,))"))}
    configuration = json.dumps(config).encode()
    numbers = ("epoch", "meta_loss", "gradient_norm", "validation_loss", "best_loss", "seconds")
    measured = dict.fromkeys(numbers, 1) | {"gradient_norms": [1.0, 2.0], "start": 2.0}
    line = json.dumps(measured | {"phi_step": 0.1, "hidden": None}).encode()
    (run_folder / CONFIG).write_bytes(configuration)
    digits, labels = idx((3, 28, 28)), idx((5,))
    images = [digits, labels, gzip.compress(digits), lzma.compress(labels)]
    records = bytes([7, *[9] * 3072]) * 2
    xz_bomb = lzma.compress(bytes(1 << 26))

    def log(path: Path) -> None:
        lines = read_metrics(path.parent)
        if lines:
            checkup = checked._replace(metrics=lines)
            measurements(checkup), diagnose(checkup)

    checked = read_checkup(run_folder)

    def configuration_of(path: Path) -> None:
        configured(path.parent)

    def cifar(path: Path) -> None:
        load_cifar10(path.parent, batches=(1,))

    def stopped(path: Path) -> None:
        read_stopped(path.parent)

    def choice(path: Path) -> None:
        journal = Journal(path.parent, {})
        journal.look(), journal.trials(), journal.chosen()

    def network(_: Path) -> None:
        load_network("squeezenet", {"conv1.kernel": (3, 3, 3, 2)}, folder)

    card, text = mutated_safetensors, mutated_json
    place = network_path("squeezenet", folder).relative_to(folder)
    weights = [save({"conv1.kernel": np.zeros((3, 3, 3, 2), np.float32)})]
    note = json.dumps({"epoch": 3, "meta_step": 5}).encode()
    asked = {"problem": "quadratic", "steps": 100, "minutes": 1.0, "seed": 0}
    sizes = Sizes(coordinates=5, step=1e-6, looked_at=8, validated=8, paired=8)
    seen = dict.fromkeys(Look._fields, 1.0) | {"rates": {"sgd": 0.1}, "ends": {"sgd": None}}
    tried = Result("lstm", "lstm", 1.0, 0.5, 3, 0.1, 2.0)._asdict()
    begun = json.dumps(
        {"asked": asked, "recipe": config["recipe"], "trials": {"lstm × 1": tried}, "seconds": 3.0}
        | {"starts": {"lstm": 1.0}, "trial_plan": {"seconds": 1.0, "until": 9.0}}
        | {"sessions": {"lstm": [0]}, "best": ["lstm", 0.5], "kept": ["lstm", 0.5]}
        | {"look": seen | {"sizes": sizes._asdict(), "levels": [[0.5, 9.0, 1.0]]}}
    ).encode()
    return {
        "mutated .safetensors": Target(0.15, "m.safetensors", files, read_tensors, card),
        "mutated optimizers": Target(0.03, "o.safetensors", files, artifact.load, card),
        "mutated networks": Target(0.04, str(place), weights, network),
        "mutated metrics.jsonl": Target(0.13, "log/metrics.jsonl", [line], log, text),
        "mutated stopped.json": Target(0.01, "log/stopped.json", [note], stopped, text),
        "mutated choice.json": Target(0.01, "choice/choice.json", [begun], choice, text),
        "mutated config.json": Target(
            0.1, "run/config.json", [configuration], configuration_of, text
        ),
        "mutated IDX, plain, gzip and xz": Target(0.2, "digits", images, read_idx),
        "mutated .l2l": Target(0.03, "m.l2l", pickles(), load_l2l),
        "mutated CIFAR-10 binaries": Target(0.08, "cifar/data_batch_1.bin", [records], cifar),
        "mutated CIFAR-10 batches in .xz": Target(
            0.01, "packed/data_batch_1.bin.xz", [lzma.compress(records), xz_bomb], cifar
        ),
        "mutated CIFAR-10 archives": Target(
            0.01, "archive/cifar-10-binary.tar", archives(records), cifar
        ),
        "mutated pictures": Target(0.15, "picture", pictures(), lambda p: read_picture(p, 8)),
        "mutated zips of pictures": Target(
            0.049, "pictures.zip", zips(pictures()), lambda path: read_pictures(path, 4)
        ),
        "mutated zip bombs": Target(
            0.001, "bomb.zip", [bomb()], lambda path: read_pictures(path, 4)
        ),
    }


def configured(folder: Path) -> None:
    """Read a configuration as `train --resume` and `doctor` do, but for drawing φ."""
    config = read_config(folder)
    recipe = recipe_from(config["recipe"], folder)
    differences(config, "quadratic", recipe)


def safetensors(folder: Path) -> list[bytes]:
    """Return optimizers as files: one rule, several, and the smallest of the zoo."""
    path, contents = folder / "seed.safetensors", []
    for spec in (
        "lstm(layers=(2,))",
        "lstm(layers=(3, 2)) >> pace(horizon=50.0)",
        "w/* -> rnnprop(layers=(2,)) + * -> optax.adam(learning_rate=0.1)",
        "lstm-gac(layers=(2,), averaging=1)",
    ):
        artifact.save(path, make_optimizer(spec, jax.random.key(0)), optimizer=spec, trained_on="x")
        contents.append(path.read_bytes())
    return [*contents, min((zoo.path(name).read_bytes() for name in zoo.names()), key=len)]


def idx(shape: tuple[int, ...]) -> bytes:
    """Return an IDX file of bytes."""
    sizes = struct.pack(f">{len(shape)}I", *shape)
    return bytes([0, 0, 8, len(shape)]) + sizes + bytes(int(np.prod(shape)))


def pictures() -> list[bytes]:
    """Return small pictures of each format, and a PNG that claims 60,000 × 60,000 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    contents = []
    for kind in ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"):
        content = io.BytesIO()
        Image.fromarray(pixels[..., : 3 if kind in ("BMP", "JPEG", "PPM") else 4]).save(
            content, kind
        )
        contents.append(content.getvalue())
    png = contents[3]
    size = struct.pack(">II", 60_000, 60_000)
    header = png[12:16] + size + png[24:29]
    contents.append(png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:])
    return contents


def pickles() -> list[bytes]:
    """Return weights as `.l2l` files of several protocols, and a pickle that would run code."""
    gates = {"w_gates": np.zeros((3, 8), np.float32), "b_gates": np.zeros(8, np.float32)}
    tables = {"lstm_1": gates, "linear": {"w": np.zeros((2, 1)), "b": np.zeros(1)}}
    call = f"c{guard.CANARY}\nRule\n(tR.".encode()
    return [*(pickle.dumps(tables, protocol) for protocol in (3, 4)), call]


def archives(records: bytes) -> list[bytes]:
    """Return archives of a batch: a plain one, one with a link to itself, one that leads out."""
    contents = []
    for name, kind, link in (
        ("cifar-10-batches-bin/data_batch_1.bin", tarfile.REGTYPE, ""),
        ("data_batch_1.bin", tarfile.SYMTYPE, "data_batch_1.bin"),
        ("../../../tmp/data_batch_1.bin", tarfile.LNKTYPE, "/etc/passwd"),
    ):
        content, member = io.BytesIO(), tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        member.size = len(records) if kind == tarfile.REGTYPE else 0
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(member, io.BytesIO(records))
        contents.append(content.getvalue())
    return contents


def bomb(mebibytes: int = 3072) -> bytes:
    """Return a zip of 3 MiB whose picture really unpacks to 3 GiB of zeros, and says so."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # Past a full flush nothing depends on what was before: the same piece, again and again.
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = first * mebibytes + packer.flush()
    crc, size, name = 0, mebibytes << 20, b"zeros.bmp"
    for _ in range(mebibytes):
        crc = zlib.crc32(bytes(1 << 20), crc)
    about = struct.pack("<5H3I2H", 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0)
    local = b"PK\3\4" + about + name
    entry = b"PK\1\2" + struct.pack("<H", 20) + about + struct.pack("<3H2I", 0, 0, 0, 0, 0) + name
    counts = struct.pack("<4H2IH", 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    return local + packed + entry + b"PK\5\6" + counts


def zips(members: list[bytes]) -> list[bytes]:
    """Return zips of pictures: plain, packed, and with names that lead elsewhere."""
    contents = []
    for names, way in (
        (("a.png", "b/c.jpg"), zipfile.ZIP_STORED),
        (("../../../tmp/canary.png", "/canary.png"), zipfile.ZIP_DEFLATED),
        (("d.gif", "e.bmp"), zipfile.ZIP_LZMA),
    ):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", way) as archive:
            for name, member in zip(names, (members[3], members[2]), strict=True):
                archive.writestr(name, member)
        contents.append(content.getvalue())
    return contents
