"""What one gradient of neural art costs, and by which form of a convolution.

    python benchmarks/neural_art.py                 # a network each, then the forms, …
    python benchmarks/neural_art.py --size 128 --net vgg19 --only terms
    python benchmarks/neural_art.py --only grid
    python benchmarks/neural_art.py --only gallery --net squeezenet --size 128 --steps 128

It has nine parts: one gradient and the memory that it takes, the same of several pictures side by
side, the meta-step, the forms, the terms, the rates, the grid, the halvings and the gallery.

Times are the shortest of several, of steps inside of a loop as in an unroll. The terms are those of
f before they are weighed, at θ₀ and after some steps of Adam: what α, β and γ balance. The rates
are those of `stylize`: f after so many gradients, by rate, over the least that any rate of that
optimizer came to, averaged over contents and styles.

The grid is the power of the gradient that alternates from one pixel to the next, down and across
(checkerboard) or in one of both (stripes), over that of other directions, so that 1 is none; and
the share of the power whose period is below four pixels. The gallery is drawn into the current
folder.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from metadescent.cli.painting import problem_of
from metadescent.cli.stylize import Stylize
from metadescent.descent.baselines import BASELINES
from metadescent.descent.episode import start_batch
from metadescent.descent.trace import descend
from metadescent.figures.paper.styling import OPTIMIZERS
from metadescent.figures.strip import Labelled, draw_strip
from metadescent.figures.style import label_of
from metadescent.meta.loss import meta_loss
from metadescent.problems.batch import Batch
from metadescent.problems.convolution import convolve
from metadescent.problems.data.content import content_path, load_content, style_path
from metadescent.problems.data.pictures import read_picture, write_picture
from metadescent.problems.neural_art import features
from metadescent.problems.neural_art.neural_art import NeuralArt, StyledPicture, to_pixels
from metadescent.problems.neural_art.tiny_imagenet import NETWORKS, network
from metadescent.registry import make_optimizer, recipe_of
from metadescent.runs.recipe import Recipe
from metadescent.zoo import load

STEPS, ROUNDS = 3, 5
TOGETHER = (1, 2, 4, 8, 16, 32)
STYLES = ("starry_night", "great_wave")
GALLERY = (
    ("grace_hopper", "starry_night"),
    ("china", "the_scream"),
    ("flower", "great_wave"),
)
RATES = {
    "sgd": (0.3, 1.0, 3.0, 10.0, 30.0),
    "nag": (0.1, 0.3, 1.0, 3.0, 10.0),
    "rmsprop": (0.003, 0.01, 0.02, 0.03, 0.1),
    "adam": (0.01, 0.02, 0.03, 0.05, 0.1),
    "lbfgs": (0.3, 1.0, 3.0),
}
# Side, channels in and out of the 3 × 3 convolutions of both networks on 64 × 64 pixels.
SHAPES = [(64, 64, 64), (32, 128, 128), (16, 256, 256), (8, 512, 512), (16, 16, 64), (8, 32, 128)]


def milliseconds(gradient: Callable, x: jax.Array, *held: Any) -> float:
    """The time of one step x − ε ∇, what is held being arguments of the program."""

    @eqx.filter_jit
    def steps(x: jax.Array, *held: Any) -> jax.Array:
        return jax.lax.fori_loop(0, STEPS, lambda _, x: x - 1e-9 * gradient(x, *held), x)

    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        steps(x, *held).block_until_ready()
        times.append(time.perf_counter() - began)
    return 1e3 * min(times[1:]) / STEPS


def by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    form = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=form)


def by_windows(x: jax.Array, kernel: jax.Array) -> jax.Array:
    places = features.windows(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 1)
    return jnp.concatenate(places, -1) @ kernel.reshape(-1, kernel.shape[-1])


def forms() -> None:
    print("| places | channels | XLA, ms | convolve, ms | windows, ms |\n|---|---|---|---|---|")
    for side, before, after in SHAPES:
        x, kernel = jnp.ones((1, side, side, before)), 1e-3 * jnp.ones((3, 3, before, after))
        times = [
            milliseconds(jax.grad(lambda x, w, form=form: jnp.sum(form(x, w) ** 2)), x, kernel)
            for form in (by_xla, convolve, by_windows)
        ]
        shown = " | ".join(f"{t:.2f}" for t in times)
        print(f"| {side} × {side} | {before} → {after} | {shown} |", flush=True)


def problem(net: str, size: int, data_dir: str | None, style: str = "starry_night") -> NeuralArt:
    contents = load_content(None, size, "validation", data_dir)
    picture = read_picture(style_path(style, data_dir), size)
    return NeuralArt(network(net, data_dir), contents, picture)


def gradients(nets: list[str], size: int, data_dir: str | None) -> None:
    print(f"One gradient of f at {size} × {size}; {load_average()}:")
    for net in nets:
        f = eqx.filter_jit(lambda p: p.sample(jax.random.key(0)))(problem(net, size, data_dir))

        def gradient(theta: jax.Array, f: Any) -> jax.Array:
            return jax.grad(f.loss)(theta, jax.random.key(0))

        taken = milliseconds(gradient, f.init(jax.random.key(0)), f)
        print(f"{net}: {taken:.1f} ms; the process has held {most_memory():.2f} GiB", flush=True)


def side_by_side(nets: list[str], size: int, data_dir: str | None) -> None:
    """What `NeuralArt.at_once` rests on."""
    for net in nets:
        art = problem(net, size, data_dir)
        for count in TOGETHER:
            fs = eqx.filter_jit(Batch.sample)(art, jax.random.key(0), count)

            def gradient(theta: jax.Array, fs: Any) -> jax.Array:
                return jax.grad(lambda x: fs.loss(x, jax.random.key(0)).sum())(theta)

            taken = milliseconds(gradient, fs.init(jax.random.key(0)), fs) / count
            line = f"{net}: {taken:.1f} ms a gradient of {count} pictures of {size} × {size}"
            print(f"{line}; {load_average()}", flush=True)


def meta_steps(nets: list[str], size: int, data_dir: str | None) -> None:
    """One truncated segment of 32 steps: of the recipe of `neural-art`, and of `pictorial`.

    The latter is differentiated through all steps and the gradients too, as `neural-art-lstm` was,
    though that with two pictures and 64 steps.
    """
    recipe = replace(Recipe(), **recipe_of("neural-art"))
    rules: dict[str, dict[str, Any]] = {
        recipe.optimizer: {"num_coordinates": recipe.coordinates},
        "pictorial": {"second_derivatives": True, "form": "plain"},
    }
    key = jax.random.key(1)
    for net, (rule, options) in product(nets, rules.items()):
        art, m = problem(net, size, data_dir), make_optimizer(rule, jax.random.key(0))

        @eqx.filter_jit
        def meta_step(m: Any, art: NeuralArt, trajectory: Any, options: dict[str, Any]) -> Any:
            def total(m: Any) -> Any:
                return meta_loss(
                    m, art, trajectory, key, num_problems=1, num_steps=recipe.unroll, **options
                )

            return eqx.filter_grad(total, has_aux=True)(m)

        begin = eqx.filter_jit(lambda m, art: start_batch(m, art, key, 1))(m, art)
        times = []
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            jax.block_until_ready(meta_step(m, art, begin, options))
            times.append(time.perf_counter() - began)
        print(
            f"{net}, {rule}: the meta-step of {recipe.unroll} steps on {begin.theta.size:,} "
            f"coordinates takes {min(times[1:]):.2f} s; {load_average()}; "
            f"the process has held {most_memory():.2f} GiB",
            flush=True,
        )


def terms(
    nets: list[str], size: int, data_dir: str | None, count: int, steps: int, rate: float
) -> None:
    print("| network | | f | content | style | smoothness |\n|---|---|---|---|---|---|")
    for net in nets:
        p, values = problem(net, size, data_dir), []
        at = eqx.filter_jit(lambda f, theta: (f.loss(theta, jax.random.key(0)), *f.terms(theta)))
        for k in range(count):
            f, key = eqx.filter_jit(NeuralArt.of)(p, p.contents[k]), jax.random.key(k)
            way = list(descend(optax.adam(rate), f, f.init(key), key, num_gradients=steps))
            values.append([[float(x) for x in at(f, way[t].theta)] for t in (0, -1)])
        for when, row in zip(("θ₀", f"θ_{steps}"), np.mean(values, axis=0), strict=True):
            print(f"| {net} | {when} | " + " | ".join(f"{x:.3f}" for x in row) + " |", flush=True)


def rates(nets: list[str], size: int, data_dir: str | None, count: int, steps: int) -> None:
    for net in nets:
        fs = [
            eqx.filter_jit(NeuralArt.of)(p, p.contents[k])
            for p in (problem(net, size, data_dir, style) for style in STYLES)
            for k in range(count)
        ]
        print(f"| {net}, {size} × {size}, {steps} gradients | rate: f over the least |\n|---|---|")
        for name, grid in RATES.items():
            finals = np.empty((len(grid), len(fs)))
            for i, rate in enumerate(grid):
                for j, f in enumerate(fs):
                    key = jax.random.key(j)
                    m = BASELINES[name].at(rate)
                    *_, last = descend(m, f, f.init(key), key, num_gradients=steps)
                    finals[i, j] = last.loss
            over = np.nan_to_num(finals / np.nanmin(finals, axis=0), nan=np.inf).mean(1)
            row = ", ".join(f"{rate:g}: {x:.3f}" for rate, x in zip(grid, over, strict=True))
            print(f"| {name} | {row} |", flush=True)


def grids(nets: list[str], size: int, data_dir: str | None) -> None:
    """How much of L_style's gradient is a grid of two pixels, in noise of power 1 / k²."""
    style = read_picture(style_path("starry_night", data_dir), size)
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    half = size // 2
    gradient = eqx.filter_jit(lambda f, theta: jax.grad(f.loss)(theta, jax.random.key(0)))
    print("| network | halvings | checkerboard | stripes | fine |\n|---|---|---|---|---|")
    for net, smooth in product(nets, (False, True)):
        p = NeuralArt(network(net, data_dir, smooth), style[None], style, alpha=0, gamma=0)
        f = eqx.filter_jit(NeuralArt.of)(p, p.contents[0])
        powers = np.zeros((size, size))
        for seed in range(20):
            noise = np.random.default_rng(seed).normal(size=(3, size, size))
            theta = np.moveaxis(np.fft.ifft2(np.fft.fft2(noise) / (k + 1 / size)).real, 0, -1)
            g = np.asarray(gradient(f, jnp.asarray(theta / (3 * theta.std()), jnp.float32)))
            powers += (np.abs(np.fft.fft2(g, axes=(0, 1))) ** 2).sum(-1)
        # Over what is as fine in other directions.
        around = [np.median(powers[np.abs(k - k[half, at]) < 1.5 / size]) for at in (half, 0)]
        board = powers[half, half] / around[0]
        stripes = (powers[half, 0] + powers[0, half]) / 2 / around[1]
        fine = powers[k > 1 / 4].sum() / powers.sum()
        line = ["smooth" if smooth else "as trained", f"{board:.2f}", f"{stripes:.2f}"]
        print(f"| {net} | {' | '.join(line)} | {fine:.3f} |", flush=True)


def halvings(nets: list[str], size: int, data_dir: str | None, steps: int) -> None:
    """The terms, means of two pictures, where halvings are smooth and where not."""
    print("| network | halvings, γ | | content | style | smoothness |\n|---|---|---|---|---|---|")
    for net, (smooth, gamma) in product(nets, ((False, 1.0), (True, 1.0), (True, 4.0))):
        for name in (OPTIMIZERS[net], "adam"):
            values = []
            for content, style in GALLERY[:2]:
                paths = content_path(content), style_path(style, data_dir)
                photograph, painting = (read_picture(path, size) for path in paths)
                features = network(net, data_dir, smooth)
                p = NeuralArt(features, photograph[None], painting, gamma=gamma)
                f = eqx.filter_jit(NeuralArt.of)(p, p.contents[0])
                values.append(painted(f, name, steps)[1])
            row = " | ".join(f"{x:.3f}" for x in np.mean(values, axis=0))
            kind = "smooth" if smooth else "as trained"
            print(f"| {net} | {kind}, {gamma:g} | {name} | {row} |", flush=True)


def painted(f: StyledPicture, name: str, steps: int) -> tuple[Any, list[float]]:
    """What an optimizer makes in so many gradients: the best that is visited, and its terms."""
    m = BASELINES[name].at(BASELINES[name].usual_rate) if name in BASELINES else load(name)
    key = jax.random.key(0)
    way = descend(m, f, f.init(key), key, num_gradients=steps)
    best = min(way, key=lambda visited: float(visited.loss))
    terms = eqx.filter_jit(StyledPicture.terms)(f, best.theta)
    return best, [float(term) for term in terms]


def gallery(net: Any, size: int, data_dir: str | None, steps: int) -> None:
    """What `stylize` paints by its own optimizer, by Adam and by L-BFGS: neural-art.jpg."""
    rows = []
    for content, style in GALLERY:
        place = Path(data_dir) if data_dir else None
        command = Stylize(Path(content), Path(style), size=size, net=net, data_dir=place)
        f, painting = problem_of(command)
        shown = [Labelled(np.asarray(f.content), [content]), Labelled(painting, [style])]
        for name in (OPTIMIZERS[net], "adam", "lbfgs"):
            best, terms = painted(f, name, steps)
            line = " | ".join(f"{x:.3f}" for x in (float(best.loss), *terms))
            print(f"| {content} in {style} | {name} | {line} |", flush=True)
            shown.append(Labelled(to_pixels(best.theta), [label_of(name, {})]))
        rows.append(draw_strip(shown))
    widest = max(row.shape[1] for row in rows)
    pads = [((0, 0), (0, widest - row.shape[1]), (0, 0)) for row in rows]
    rows = [np.pad(row, pad, constant_values=255) for row, pad in zip(rows, pads, strict=True)]
    write_picture("neural-art.jpg", np.concatenate(rows))


def load_average() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def most_memory() -> float:
    """Return the most memory that the process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description="What one gradient of neural art costs.")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--net", choices=list(NETWORKS))
    parser.add_argument("--count", type=int, default=2, help="contents of the terms and rates")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--data-dir")
    parts = [
        "gradients",
        "side-by-side",
        "meta-step",
        "forms",
        "terms",
        "rates",
        "grid",
        "halvings",
        "gallery",
    ]
    parser.add_argument("--only", choices=parts)
    given = parser.parse_args()
    nets = [given.net] if given.net else list(NETWORKS)
    for part in [given.only] if given.only else parts:
        match part:
            case "gradients":
                gradients(nets, given.size, given.data_dir)
            case "side-by-side":
                side_by_side(nets, given.size, given.data_dir)
            case "meta-step":
                meta_steps(nets, given.size, given.data_dir)
            case "forms":
                forms()
            case "terms":
                terms(nets, given.size, given.data_dir, given.count, given.steps, given.rate)
            case "rates":
                rates(nets, given.size, given.data_dir, given.count, given.steps)
            case "grid":
                grids(nets, given.size, given.data_dir)
            case "halvings":
                halvings(nets, given.size, given.data_dir, given.steps)
            case "gallery":
                gallery(nets[0], given.size, given.data_dir, given.steps)


if __name__ == "__main__":
    main()
