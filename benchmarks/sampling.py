"""How far a sampled meta-gradient is from the full one, and one episode from another.

    python benchmarks/sampling.py [OPTIMIZER] [--coordinates 2048] [--episodes 12]

One episode of MNIST after another, five segments of 20 steps each. `sampling` is the median over
episodes of |sampled − full| / |full| within one episode; `between episodes` is the root mean square
distance of an episode's full meta-gradient from their mean, over the root mean square norm.
"""

import argparse
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from metadescent import zoo
from metadescent.cli.console import output, table
from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.registry import make_problem

SEGMENTS, STEPS = 5, 20


@eqx.filter_jit
def gradient(m: Any, problem: Any, begin: Any, key: Any, coordinates: int | None) -> Any:
    """Return the meta-gradient of one segment as a vector, and the trajectory after it."""

    def loss(m: Any) -> Any:
        return meta_loss(
            m, problem, begin, key, num_problems=1, num_steps=STEPS, num_coordinates=coordinates
        )

    (_, (end, _)), found = eqx.filter_value_and_grad(loss, has_aux=True)(m)
    return ravel_pytree(eqx.filter(found, eqx.is_inexact_array))[0], end


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description="Sampled meta-gradients, measured.")
    parser.add_argument("optimizer", nargs="?", default="mnist-lstm")
    parser.add_argument("--coordinates", type=int, default=2048)
    parser.add_argument("--episodes", type=int, default=12)
    arguments = parser.parse_args()
    m, problem = zoo.load(arguments.optimizer), make_problem("mnist")
    full = np.zeros((SEGMENTS, arguments.episodes), object)
    error = np.zeros((SEGMENTS, arguments.episodes))
    for episode in range(arguments.episodes):
        key = jax.random.key(episode)
        begin = start_batch(m, problem, key, 1)
        for segment in range(SEGMENTS):
            whole, end = gradient(m, problem, begin, key, None)
            sampled, _ = gradient(m, problem, begin, key, arguments.coordinates)
            full[segment, episode] = np.asarray(whole, np.float64)
            error[segment, episode] = np.linalg.norm(sampled - whole) / np.linalg.norm(whole)
            begin = end
    rows = []
    for segment in range(SEGMENTS):
        gradients = np.stack(list(full[segment]))
        spread = np.sqrt(((gradients - gradients.mean(0)) ** 2).sum(1).mean())
        rows.append(
            [
                f"{segment * STEPS + 1}–{(segment + 1) * STEPS}",
                f"{np.median(error[segment]):.3f}",
                f"{error[segment].max():.3f}",
                f"{spread / np.sqrt((gradients**2).sum(1).mean()):.3f}",
            ]
        )
    title = (
        f"{arguments.optimizer}, {arguments.coordinates} coordinates, {arguments.episodes} episodes"
    )
    output().print(table(title, ["steps", "sampling", "worst", "between episodes"], rows))


if __name__ == "__main__":
    main()
