"""Call kernels in C++ with arguments that fit and that do not, under sanitizers.

    python tools/native_fuzz.py --count 2000        so many calls of all kernels together

Every kernel of XLA's interface is called as XLA calls it (`native_calls.cc`), and PyTorch's kernels
as its optimizer calls them. A kernel must accept arguments that fit, and must refuse others before
it writes anything. AddressSanitizer and UndefinedBehaviorSanitizer must report nothing.
"""

import argparse
import ctypes
import os
import random
import re
import subprocess
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metadescent import _kernels

COUNT = 24_000
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g -fno-omit-frame-pointer"
PYTORCH = "lstm_update of PyTorch"
BLEND_OF_PYTORCH = "blend_step of PyTorch"
FLOAT = 11  # XLA's numbers for dtypes, and their bytes
WIDTHS = {FLOAT: 4, 12: 8, 10: 2, 16: 2, 4: 4, 5: 8, 6: 1, 15: 8, 1: 1}
Shape = tuple[int, ...]


class Buffer(NamedTuple):
    """A buffer: its shape and dtype, and which other it lies in, −1 for none, how far in."""

    shape: Shape
    dtype: int = FLOAT
    at: int = -1
    offset: int = 0


class Call(NamedTuple):
    """The buffers of a call: arguments, then results."""

    args: list[Buffer]
    rets: list[Buffer]


class Told(ctypes.Structure):
    """A buffer, as `native_calls.cc` reads it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dtype", "width", "rank", "at", "offset")),
        ("dims", ctypes.c_int64 * 8),
    )


def run(folder: Path, count: int, seed: int) -> tuple[Counter, list]:
    """Call the kernels `count` times; return how often each, and what went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = sanitized(folder)
    if environment is None:
        print("kernels: no compiler with sanitizers, so none was called", file=sys.stderr)
        return Counter(), []
    tried, lost = Counter(), []
    kinds = [*LAYOUTS, *([PYTORCH, BLEND_OF_PYTORCH] if has_torch() else [])]
    each = max(1, count // len(kinds))
    for kind in kinds:
        begin = 0
        while begin < each and len(lost) < 10:
            place = folder / "number"
            place.write_text("-1")
            arguments = [kind, str(seed), str(begin), str(each), str(place)]
            command = [sys.executable, __file__, "--child", *arguments]
            ended = subprocess.run(command, env=environment, capture_output=True, text=True)
            if ended.returncode == 0:
                break
            last = int(place.read_text())
            said = ended.stdout.strip()[:600] or report(ended.stderr)
            lost.append((named(kind), f"{named(kind)}, seed {seed}, number {last}: {said}"))
            if last < 0:  # It has not begun, and would not.
                break
            begin = last + 1
        tried[named(kind)] += each
    return tried, lost


def named(kind: str) -> str:
    """Return what the table calls a kernel."""
    return f"kernel {kind}"


def report(text: str) -> str:
    """Return what a sanitizer says first, or the last of anything else."""
    match = re.search(r"(ERROR: \w+Sanitizer: .*|.*runtime error: .*)((?:\n.*){0,6})", text)
    return " ".join((match[0] if match else text[-400:]).split())[:600]


def has_torch() -> bool:
    """Return whether PyTorch is installed."""
    from importlib.util import find_spec

    return find_spec("torch") is not None


def sanitized(folder: Path) -> dict[str, str] | None:
    """Return an environment in which kernels are compiled with sanitizers, and run; or None."""
    compiler = _kernels.compiler()
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    # The sanitizer must be there before Python is, and then C++'s own library for it to wrap.
    names = ("libasan.so", "libstdc++.so.6")
    asked = [[compiler, f"-print-file-name={name}"] for name in names]
    paths = [subprocess.run(c, capture_output=True, text=True).stdout.strip() for c in asked]
    if not all(Path(path).is_absolute() for path in paths):
        return None
    environment = os.environ | {
        "METADESCENT_NATIVE_FLAGS": SANITIZERS,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LD_PRELOAD": " ".join(paths),
        # Python frees little at its end.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "METADESCENT_NATIVE": "1",
    }
    tiny = folder / "tiny.cc"
    tiny.write_text("extern int f; int f = 1;\n")
    flags = SANITIZERS.split()
    made = [compiler, "-shared", "-fPIC", *flags, str(tiny), "-o", str(tiny.with_suffix(".so"))]
    load = f"import ctypes; ctypes.CDLL({str(tiny.with_suffix('.so'))!r})"
    for command in (made, [sys.executable, "-c", load]):
        if subprocess.run(command, env=environment, capture_output=True).returncode != 0:
            return None
    return environment


# What fits a kernel: the shapes of its buffers for some sizes, and the sizes that shapes speak of.


def of_phi(inputs: int, layers: Sequence[int]) -> list[Shape]:
    """Return the shapes of φ."""
    shapes: list[Shape] = []
    for units in layers:
        shapes += (4 * units, inputs), (4 * units, units), (4 * units,)
        inputs = units
    return [*shapes, (1, inputs), (1,)]


def of_states(layers: Sequence[int], coordinates: Shape) -> list[Shape]:
    """Return the shapes of h, c of each layer."""
    return [(units, *coordinates) for units in layers for _ in "hc"]


def update(inputs: int, layers: Sequence[int], coordinates: Shape) -> Call:
    """Return `lstm_update`'s, whose h after may lie where h before does."""
    phi, states = of_phi(inputs, layers), of_states(layers, coordinates)
    args = [(inputs, *coordinates), *phi, *states]
    first = 1 + len(phi)
    renewed = [Buffer(shape, at=first + i) for i, shape in enumerate(states)]
    return Call(list(map(Buffer, args)), [Buffer(coordinates), *renewed])


def pull_back(inputs: int, layers: Sequence[int], coordinates: Shape) -> Call:
    """Return `lstm_pull_back`'s; coordinates are steps × coordinates."""
    phi, states = of_phi(inputs, layers), of_states(layers, coordinates[1:])
    args = [(inputs, *coordinates), coordinates, *phi, *states]
    return Call(list(map(Buffer, args)), list(map(Buffer, phi)))


def vjp(inputs: int, layers: Sequence[int], coordinates: Shape) -> Call:
    """Return `lstm_vjp`'s."""
    phi, states = of_phi(inputs, layers), of_states(layers, coordinates)
    x = (inputs, *coordinates)
    args, rets = [x, coordinates, *phi, *states, *states], [*phi, x, *states]
    return Call(list(map(Buffer, args)), list(map(Buffer, rets)))


def blend(front: Shape, hidden: int, shapes: Sequence[Shape]) -> Call:
    """Return `blend_update`'s, whose h and figures after may lie where those before do."""
    phi = [(2,), (hidden, 14), (hidden,), (5, hidden), (5,)]
    first = [(24,), *phi, (len(shapes), 4), (len(shapes), 7)]
    args = [Buffer((*front, *shape)) for shape in (*first, *(5 * list(shapes)))]
    begin = len(first) + 2 * len(shapes)
    renewed = [args[at]._replace(at=at) for at in range(begin, len(args))]
    steps = args[len(first) : len(first) + len(shapes)]
    return Call(args, [args[len(first) - 1]._replace(at=len(first) - 1), *steps, *renewed])


def blend_sizes(call: Call) -> tuple | None:
    """Return the axes in front, the network's units, and the shapes of tensors."""
    count, rest = divmod(len(call.args) - 8, 5)
    if count < 1 or rest or not call.args[0].shape or call.args[3].shape[-1:] in ((), (0,)):
        return None
    front = call.args[0].shape[:-1]
    shapes = [call.args[8 + k].shape[len(front) :] for k in range(count)]
    return front, call.args[3].shape[-1], shapes


def images(front: Shape, n: int, height: int, width: int, channels: int) -> Shape:
    """Return the shape of images."""
    return (*front, n, height, width, channels)


def slide(front: Shape, sizes: Sequence[int], window: Sequence[int]) -> Call:
    """Return `slide`'s."""
    n, height, width = sizes
    before, after = window[2:]
    x, y = (images(front, n, height, width, channels) for channels in (before, after))
    return Call([Buffer(x), Buffer((*front, *window))], [Buffer(y)])


def slide_pull(front: Shape, sizes: Sequence[int], window: Sequence[int]) -> Call:
    """Return `slide_pull`'s."""
    (x, w), (y,) = slide(front, sizes, window)
    return Call([x, y], [w])


def pool(front: Shape, sizes: Sequence[int]) -> Call:
    """Return `pool`'s, of images of twice these sizes."""
    n, height, width, channels = sizes
    z, m = images(front, n, 2 * height, 2 * width, channels), images(front, *sizes)
    return Call([Buffer(z)], [Buffer(m), *[Buffer((*front, channels))] * 2])


def unpool(front: Shape, sizes: Sequence[int]) -> Call:
    """Return `unpool`'s."""
    (z,), (m, mean, variance) = pool(front, sizes)
    return Call([z, m, mean, m, mean, variance], [z])


def lstm_sizes(per_layer: int, axes: int | None, first: int) -> Callable[[Call], tuple | None]:
    """Return what reads the sizes of an LSTM: `first` arguments come before φ."""

    def sizes(call: Call) -> tuple | None:
        shapes = [buffer.shape for buffer in call.args]
        layers, rest = divmod(len(shapes) - first - 2, per_layer)
        if rest or layers < 1 or not shapes[0] or axes not in (None, len(shapes[0]) - 1):
            return None
        hidden = [shapes[first + 3 * i + 1][-1:] for i in range(layers)]
        units = [n for shape in hidden for n in shape]
        if len(units) < layers or min(units) < 1 or shapes[0][0] < 1:
            return None
        return shapes[0][0], units, shapes[0][1:]

    return sizes


def slide_sizes(window: Callable[[Call], Shape]) -> Callable[[Call], tuple | None]:
    """Return what reads the sizes of images and of a window that lies in one of the buffers."""

    def sizes(call: Call) -> tuple | None:
        if len(call.args) != 2 or len(call.rets) != 1:
            return None
        x, w = call.args[0].shape, window(call)
        if len(x) < 4 or len(w) < 4 or w[-4] % 2 == 0 or w[-3] % 2 == 0:
            return None
        return x[:-4], x[-4:-1], w[-4:]

    return sizes


def pool_sizes(call: Call) -> tuple | None:
    """Return the sizes of half as large images."""
    z = call.args[0].shape if call.args else ()
    if len(z) < 4 or z[-3] % 2 or z[-2] % 2:
        return None
    return z[:-4], (z[-4], z[-3] // 2, z[-2] // 2, z[-1])


LAYOUTS: dict[str, tuple[Callable[..., Call], Callable[[Call], tuple | None]]] = {
    "lstm_update": (update, lstm_sizes(5, None, 1)),
    "lstm_pull_back": (pull_back, lstm_sizes(5, 2, 2)),
    "lstm_vjp": (vjp, lstm_sizes(7, None, 2)),
    "blend_update": (blend, blend_sizes),
    "slide": (slide, slide_sizes(lambda call: call.args[1].shape)),
    "slide_pull": (slide_pull, slide_sizes(lambda call: call.rets[0].shape)),
    "pool": (pool, pool_sizes),
    "unpool": (unpool, pool_sizes),
}


def fits(kind: str, call: Call) -> bool:
    """Return whether a kernel must take a call: its shapes are those of some sizes, all apart."""
    layout, read = LAYOUTS[kind]
    sizes = read(call)
    if sizes is None:
        return False
    buffers, expected = [*call.args, *call.rets], layout(*sizes)
    if any(len(a) != len(b) for a, b in zip(call, expected, strict=True)):
        return False
    pairs = zip(buffers, [*expected.args, *expected.rets], strict=True)
    if not all(a.shape == b.shape and a.dtype == FLOAT and a.at != -2 for a, b in pairs):
        return False
    spans = [span(buffers, index) for index in range(len(buffers))]
    renewed = [buffer.at for buffer in expected.rets]
    for index, at in enumerate(renewed, len(call.args)):
        for other, its in enumerate(spans):
            meets = its[0] < spans[index][1] and spans[index][0] < its[1]
            if other != index and meets and not (other == at and its == spans[index]):
                return False
    return True


def span(buffers: Sequence[Buffer], index: int) -> tuple[float, float]:
    """Return where a buffer begins and ends, on a line along which all blocks lie."""
    buffer = buffers[index]
    begin = (index if buffer.at < 0 else buffer.at) * 1e12 + buffer.offset
    return begin, begin + bytes_of(buffer)


# What may be wrong with a call.


def drawn(kind: str, chance: random.Random) -> Call:
    """Return a call that fits."""

    def length(*lengths: int) -> int:
        return chance.choice(lengths)

    if kind.startswith("lstm"):
        layers = [length(1, 2, 3, 5, 8, 20) for _ in range(length(1, 1, 2, 3))]
        axes = 2 if kind == "lstm_pull_back" else length(0, 1, 1, 2, 3)
        coordinates = [length(0, 1, 2, 3, 5) for _ in range(axes)]
        if axes:
            coordinates[-1] = length(0, 1, 7, 31, 32, 33, 70, 130, 300)
        call = LAYOUTS[kind][0](length(1, 2, 7), layers, tuple(coordinates))
    elif kind == "blend_update":
        front = tuple(length(0, 1, 2, 3) for _ in range(length(0, 0, 1, 2)))
        lengths = (0, 1, 2, 5, 16, 31, 33, 70)
        shapes = [
            tuple(length(*lengths) for _ in range(length(0, 1, 2, 2, 3)))
            for _ in range(length(1, 1, 2, 3))
        ]
        call = blend(front, length(1, 2, 8, 17), shapes)
    else:
        front = tuple(length(0, 1, 2, 3) for _ in range(length(0, 0, 1, 2)))
        n, height, width = length(0, 1, 2, 5), length(0, 1, 3, 8), length(0, 1, 4, 17, 20)
        channels = [length(0, 1, 3, 8, 16, 17, 33) for _ in range(2)]
        if kind in ("pool", "unpool"):
            call = LAYOUTS[kind][0](front, (n, height, width, channels[0]))
        else:
            window = (length(1, 3, 5, 7), length(1, 3, 5, 9), *channels)
            call = LAYOUTS[kind][0](front, (n, height, width), window)
    if kind.endswith("_update") and chance.random() < 0.5:
        call = call._replace(rets=[buffer._replace(at=-1) for buffer in call.rets])
    return call


def changed(call: Call, chance: random.Random) -> Call:
    """Return a call with one thing changed: a shape, a dtype, a place, the number of buffers."""
    buffers, count = [*call.args, *call.rets], len(call.args)
    index = chance.randrange(len(buffers))
    buffer, way = buffers[index], chance.randrange(9)
    shape = list(buffer.shape)
    if way <= 2 and shape:
        axis = chance.randrange(len(shape))
        shape[axis] = max(0, chance.choice([shape[axis] + 1, shape[axis] - 1, 2 * shape[axis], 0]))
    elif way == 3:
        shape = shape[::-1]
    elif way == 4:
        shape = shape[1:] if shape and chance.random() < 0.5 else [*shape, 1][:8]
    elif way == 5:
        buffer = buffer._replace(dtype=chance.choice(list(WIDTHS)))
    elif way == 6 and index > 0:
        # In another, or somewhat into it; nothing there is given back to the system too early.
        other = chance.randrange(index)
        large = buffers[other].at == -1 and buffers[other].dtype == FLOAT
        offset = chance.choice([0, 0, 4, 64]) if large else 0
        room = bytes_of(buffers[other]) - offset
        if large and room >= bytes_of(buffer) > 0:
            buffer = buffer._replace(at=other, offset=offset)
    elif way == 7 and bytes_of(buffer):
        buffer = buffer._replace(at=-2)
    elif way == 8:
        return recounted(call, index, chance)
    buffers[index] = sound(buffer._replace(shape=tuple(shape)), buffers)
    buffers = [sound(b, buffers) for b in buffers]
    return Call(buffers[:count], buffers[count:])


def recounted(call: Call, index: int, chance: random.Random) -> Call:
    """Return a call without one of its buffers, or with one twice; each in memory of its own."""
    args, rets = ([b._replace(at=-1, offset=0) for b in part] for part in call)
    part = args if index < len(args) else rets
    index -= 0 if part is args else len(args)
    if chance.random() < 0.5:
        del part[index]
    else:
        part.insert(index, part[index])
    return Call(args, rets)


def sound(buffer: Buffer, buffers: Sequence[Buffer]) -> Buffer:
    """Return a buffer in a place that is large enough for it, or else in one of its own."""
    if buffer.at < 0:
        return buffer
    other = buffers[buffer.at]
    is_room = other.at == -1 and bytes_of(other) >= bytes_of(buffer) + buffer.offset
    return buffer if is_room else buffer._replace(at=-1, offset=0)


def bytes_of(buffer: Buffer) -> int:
    """Return the size of a buffer."""
    size = WIDTHS[buffer.dtype]
    for length in buffer.shape:
        size *= length
    return size


# The process with the sanitizer, which ends at the first thing that goes wrong.


def child(kind: str, seed: int, begin: int, end: int, place: Path) -> None:
    """Call a kernel for each number from `begin` on; the number is written before the call."""
    special = {PYTORCH: of_pytorch, BLEND_OF_PYTORCH: of_blend_in_pytorch}
    attempt = special[kind]() if kind in special else of_xla(kind)
    with place.open("r+b", buffering=0) as number:
        for index in range(begin, end):
            os.pwrite(number.fileno(), f"{index:<12}".encode(), 0)
            said = attempt(random.Random(f"{seed} {kind} {index}"))
            if said:
                print(said)
                sys.exit(1)


def of_xla(kind: str) -> Callable[[random.Random], str]:
    """Return what calls a kernel of XLA's interface once and says what went wrong."""
    import jax

    sources = [path for folder in _kernels.FOLDERS for path in folder.glob("*.cc")]
    sources.append(Path(__file__).with_name("native_calls.cc"))
    path = _kernels.compiled(sources, instead="no", system=jax.ffi.include_dir())
    assert path is not None
    library = ctypes.CDLL(str(path))
    handler = ctypes.cast(getattr(library, f"metadescent_{kind}"), ctypes.c_void_p)
    library.call.restype = ctypes.c_int64
    takes_scale = kind.startswith("lstm")

    def attempt(chance: random.Random) -> str:
        call = drawn(kind, chance)
        for _ in range(chance.choice([0, 1, 1, 1, 2])):
            call = changed(call, chance) if call.args and call.rets else call
        buffers = [*call.args, *call.rets]
        told = (Told * len(buffers))(*map(told_of, buffers))
        text = ctypes.create_string_buffer(256)
        sizes = [ctypes.c_int64(len(part)) for part in call]
        threads = ctypes.c_int64(chance.choice([0, 1, 1, 1, 3]))
        scale = ctypes.c_float(0.5)
        taken = library.call(handler, scale, takes_scale, *sizes, told, threads, text)
        reason = text.value.decode(errors="replace")
        if taken == 2:
            return f"{reason}: {call}"
        if (taken == 0) != fits(kind, call):
            return f"it {'takes' if taken == 0 else 'refuses'} ({reason}) {call}"
        return ""

    return attempt


def told_of(buffer: Buffer) -> Told:
    """Return a buffer as C++ reads it."""
    shape, dtype, at, offset = buffer
    dims = (ctypes.c_int64 * 8)(*shape)
    return Told(dtype, WIDTHS[dtype], len(shape), at, offset, dims)


def of_pytorch() -> Callable[[random.Random], str]:
    """Return what calls PyTorch's kernel once and says what went wrong."""
    import torch

    from metadescent._errors import UserError
    from metadescent.torch import native

    torch.set_num_threads(2)
    assert native.kernel() is not None

    def rows(shape: Shape, chance: random.Random) -> Any:
        """Return a matrix whose rows may lie further apart than they are long."""
        gap = chance.choice([0, 0, 3]) if len(shape) == 2 else 0
        return torch.rand((*shape[:-1], shape[-1] + gap))[..., : shape[-1]]

    def apart(chance: random.Random) -> str:
        """Compare h of parameters that lie each in memory of its own with one matrix a leaf."""
        sizes = [
            chance.choice([0, 1, 2, 7, 31, 32, 33, 130]) for _ in range(chance.choice([1, 3, 9]))
        ]
        layers, inputs = [chance.choice([1, 3, 20]) for _ in range(chance.choice([1, 2]))], 2
        n, shapes = sum(sizes), of_states(layers, ())
        parts = [[torch.rand(k, size) for (k, *_) in shapes] for size in sizes]
        whole = [torch.cat(leaf, dim=1) for leaf in zip(*parts, strict=True)]
        places = native.Places(
            [array("q", [y.data_ptr() for y in part]).tobytes() for part in parts], sizes
        )
        x, phi = torch.rand(inputs, n), [torch.rand(shape) for shape in of_phi(inputs, layers)]
        first = chance.randrange(len(sizes))
        numbers = slice(first, chance.randrange(first, len(sizes)) + 1)
        start, end = sum(sizes[:first]), sum(sizes[: numbers.stop])
        h = [torch.empty(len(y), end - start).copy_(y[:, start:end]) for y in whole]
        state = [native.Renewed(places, numbers, k) for k in range(len(shapes))]
        wrong = [native.Renewed(places, slice(0, len(sizes)), k) for k in range(len(shapes))]
        try:
            # Others than x has.
            native.fused_update(torch.rand(inputs, n + 1), phi, wrong, 0.5)
            return f"it takes one coordinate more than {sizes}"
        except UserError:
            pass
        one = native.fused_update(x[:, start:end], phi, h, 0.5)
        other = native.fused_update(x[:, start:end], phi, state, 0.5)
        matrix = torch.empty(sum(k for (k, *_) in shapes), end - start)
        rows = [k for (k, *_) in shapes]
        for back in (False, True):
            places.bring(numbers, range(len(rows)), rows, matrix, back=back)
        for y, leaf in zip(whole, h, strict=True):
            y[:, start:end] = leaf
        same = [torch.cat(leaf, dim=1) for leaf in zip(*parts, strict=True)]
        if not (torch.equal(one, other) and all(map(torch.equal, whole, same))):
            return f"parts of {sizes} are not the whole, in {numbers}"
        return "" if torch.equal(matrix, torch.cat(h)) else f"{numbers} of {sizes} are not together"

    def attempt(chance: random.Random) -> str:
        if chance.random() < 0.3:
            return apart(chance)
        n = chance.choice([0, 1, 7, 32, 33, 300, native.GRAIN + 5 if chance.random() < 0.02 else 2])
        inputs, layers = chance.choice([1, 2, 7]), [chance.choice([1, 2, 3, 5, 20])]
        layers += [chance.choice([1, 4])] * chance.choice([0, 1])
        has_g = len(layers) > 1 or chance.random() < 0.7
        gap = chance.choice([0, 0, 3])
        phi = [torch.rand(shape) for shape in of_phi(inputs, layers)][: None if has_g else -2]
        state = [torch.rand((k, n + gap))[:, :n] for k, _ in of_states(layers, (n,))]
        x, g = rows((inputs, n), chance), torch.rand(n) if has_g else None
        tensors = [x, *([] if g is None else [g]), *phi, *state]
        is_changed = n > 0 and chance.random() < 0.7
        if is_changed:
            index = chance.randrange(len(tensors))
            tensors[index] = another(tensors, index, len(tensors) - len(state), chance)
        x, rest = tensors[0], tensors[1:]
        if g is not None:
            g, *rest = rest
        phi, state = rest[: len(phi)], rest[len(phi) :]
        before = [y.clone() for y in tensors]
        try:
            native._run(x, phi, state, 0.5, g)
        except UserError:
            same = all(map(torch.equal, tensors, before))
            if not is_changed:
                return f"it refuses {[(y.shape, y.stride()) for y in tensors]}"
            return "" if same else "it refuses and has written"
        if is_changed:
            return f"it takes {[(y.shape, y.stride(), y.dtype) for y in tensors]}"
        return ""

    def another(tensors: list[Any], index: int, first: int, chance: random.Random) -> Any:
        """Return something else in the place of one tensor, that no kernel may take."""
        y = tensors[index]
        ways = [
            y.to(torch.float64),
            y.to(torch.bfloat16),
            y.to(torch.int32),
            torch.rand([length + 1 for length in y.shape]),
            torch.rand([*y.shape[:-1], y.shape[-1] + 1]),
            torch.rand((1, *y.shape)) if y.dim() == 2 else torch.rand((2, *y.shape)),
            torch.rand([*y.shape[:-1], 2 * y.shape[-1]])[..., ::2] if y.shape[-1] > 1 else None,
            y.new_empty((0, *y.shape[1:])),
        ]
        # Where it is written it must lie apart: rows of one another, and of all other tensors.
        if index >= first:
            ways += [z for z in tensors if z is not y and z.shape == y.shape]
            ways += [torch.rand((1, y.shape[1])).expand(y.shape)] if len(y) > 1 else []
        return chance.choice([way for way in ways if way is not None])

    return attempt


def of_blend_in_pytorch() -> Callable[[random.Random], str]:
    """Return what makes steps of `blend` with its kernel and without, and says what differs."""
    import torch

    from metadescent._errors import UserError
    from metadescent.torch import native, native_blend
    from metadescent.torch.row import Flat, Row
    from metadescent.torch.rules.blend import BlendRule

    torch.set_num_threads(2)
    assert native.kernel() is not None
    sides = [0, 1, 2, 7, 16, 31, 33, 70]

    def lies_anywhere(x: Any, chance: random.Random) -> Any:
        """Return x in memory of its own, at any distance from where that begins."""
        offset = chance.randrange(4)
        return torch.empty(x.numel() + offset)[offset:].view(x.shape).copy_(x)

    def attempt(chance: random.Random) -> str:
        count, hidden = chance.choice([1, 2, 5]), chance.choice([1, 3, 8])
        shapes = [
            tuple(chance.choice(sides) for _ in range(chance.choice([0, 1, 2, 2, 3])))
            for _ in range(count)
        ]
        rule = BlendRule(horizon=chance.choice([0.0, 40.0, 3000.0]), hidden=hidden)
        phi = {name: 0.3 * torch.randn(shape) for name, shape in rule.phi_shapes().items()}
        theta = [lies_anywhere(torch.randn(shape), chance) for shape in shapes]
        of_tensors = rule.tensor_shapes().items()
        ways = [
            [
                {name: torch.zeros(x.numel()) for name in rule.state_shapes()}
                | {name: torch.zeros((*shape, 1)) for name, shape in of_tensors}
                for x in theta
            ]
            for _ in range(2)
        ]
        rows = [row_of(rule, h, is_apart) for h, is_apart in zip(ways, (True, False), strict=True)]
        for _ in range(2):
            gradients = [lies_anywhere(torch.randn(x.numel()), chance) for x in theta]
            if not native_blend.can_step(rows[0], theta, gradients):
                return f"there is no kernel for {shapes}"
            fused = rule.update_apart(phi, gradients, rows[0], theta)
            plain = rule.update_row(phi, torch.cat(gradients), rows[1], theta)
            if not torch.allclose(fused, plain, rtol=1e-2, atol=1e-3):
                return f"steps of {shapes} differ by {float((fused - plain).abs().max())}"
        wrong = dict(phi)
        name = chance.choice(native_blend.PHI)
        wrong[name] = torch.zeros([length + 1 for length in phi[name].shape])
        before = [{name: x.clone() for name, x in part.items()} for part in ways[0]]
        try:
            rule.update_apart(wrong, gradients, rows[0], theta)
            return f"it takes {name} of shape {tuple(wrong[name].shape)}"
        except UserError:
            pairs = zip(ways[0], before, strict=True)
            same = all(torch.equal(x[name], y[name]) for x, y in pairs for name in x)
            return "" if same else "it refuses and has written"

    def row_of(rule: Any, h: Sequence[dict[str, Any]], is_apart: bool) -> Any:
        """Return a row of tensors, whose h a kernel may go to or not."""
        flats = []
        for part in h:
            places = array("q", [x.data_ptr() for x in part.values()]).tobytes()
            flats.append(Flat(part["fast"].numel(), part, places if is_apart else None))
        names = rule.state_shapes(), rule.tensor_shapes()
        return Row.of(names[0], flats, torch.device("cpu"), names[1], blockwise=False)

    return attempt


def main() -> None:
    """Run by hand, or as the process with the sanitizer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT, help="of all calls")
    parser.add_argument("--seed", type=int, default=0, help="of all calls")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        kind, seed, begin, end, place = chosen.child
        return child(kind, int(seed), int(begin), int(end), Path(place))
    with tempfile.TemporaryDirectory(prefix="native-fuzz-") as name:
        tried, lost = run(Path(name), chosen.count, chosen.seed)
    for kind, count in tried.items():
        print(f"{kind:44}{count:>10,}")
    print(*(said for _, said in lost), sep="\n")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
