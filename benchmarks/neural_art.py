"""What one gradient of neural art costs, and by which form of a convolution.

    python benchmarks/neural_art.py              # a network each, then the forms, then the terms
    python benchmarks/neural_art.py --size 128

Times are the shortest of several, of steps inside of a loop as in an unroll. The terms are those of
f before they are weighed, at θ₀ and after some steps of Adam: what α, β and γ balance.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from metadescent.data.content import load_content, style_path
from metadescent.data.pictures import read_picture
from metadescent.descend import descend
from metadescent.problems import features
from metadescent.problems.convolution import convolve
from metadescent.problems.neural_art import NeuralArt
from metadescent.problems.tiny_imagenet import NETWORKS, network

STEPS, ROUNDS = 3, 5
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


def problem(net: str, size: int, data_dir: str | None) -> NeuralArt:
    contents = load_content(None, size, "validation", data_dir)
    style = read_picture(style_path("starry_night", data_dir), size)
    return NeuralArt(network(net, data_dir), contents, style)


def gradients(size: int, data_dir: str | None) -> None:
    print(f"One gradient of f at {size} × {size}:")
    for net in NETWORKS:
        f = eqx.filter_jit(lambda p: p.sample(jax.random.key(0)))(problem(net, size, data_dir))

        def gradient(theta: jax.Array, f: Any) -> jax.Array:
            return jax.grad(f.loss)(theta, jax.random.key(0))

        taken = milliseconds(gradient, f.init(jax.random.key(0)), f)
        print(f"{net}: {taken:.1f} ms", flush=True)


def terms(size: int, data_dir: str | None, count: int, steps: int, rate: float) -> None:
    print("| network | | f | content | style | smoothness |\n|---|---|---|---|---|---|")
    for net in NETWORKS:
        p, found = problem(net, size, data_dir), []
        at = eqx.filter_jit(lambda f, theta: (f.loss(theta, jax.random.key(0)), *f.terms(theta)))
        for k in range(count):
            f, key = eqx.filter_jit(NeuralArt.of)(p, p.contents[k]), jax.random.key(k)
            way = list(descend(optax.adam(rate), f, f.init(key), key, num_gradients=steps))
            found.append([[float(x) for x in at(f, way[t].theta)] for t in (0, -1)])
        for when, row in zip(("θ₀", f"θ_{steps}"), np.mean(found, axis=0), strict=True):
            print(f"| {net} | {when} | " + " | ".join(f"{x:.3f}" for x in row) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What one gradient of neural art costs.")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--count", type=int, default=4, help="contents that the terms are of")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--only", choices=["gradients", "forms", "terms"])
    parser.add_argument("--data-dir")
    given = parser.parse_args()
    if given.only in (None, "gradients"):
        gradients(given.size, given.data_dir)
    if given.only in (None, "forms"):
        forms()
    if given.only in (None, "terms"):
        terms(given.size, given.data_dir, given.count, given.steps, given.rate)


if __name__ == "__main__":
    main()
