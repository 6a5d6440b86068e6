"""Measure how far AdamW gets on each network of `assorted`: its a and u.

    python tools/levels.py

a is log(f + 10⁻⁴) over the last tenth of 500 steps, and u how much higher it is over that of 250:
means of eight runs, at the best of thirteen rates, going up over the first twentieth of the steps
and down by half a cosine.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metadescent.bench.rivals import warm_up_and_cosine
from metadescent.problems.assorted import LEAST, PARTS, WORST, Trained, f_of
from metadescent.problems.from_function import FromFunction
from metadescent.problems.small_data import draw_examples
from metadescent.problems.small_networks import begin

RATES = np.logspace(-3.5, -0.5, 13)
RUNS = 8
SMALLEST = 0.05
"""Of u: less is noise."""


def ends(part: Trained, data: Any, num_steps: int) -> np.ndarray:
    """Return log(f + 10⁻⁴) over the last tenth, by rate."""
    f = FromFunction(
        lambda theta, key, batch: f_of(part, theta, batch),
        lambda key: begin(key, part.sizes),
        data,
        batch_size=part.batch_size,
    ).sample(jax.random.key(0))

    def end(rate: Any, key: Any) -> Any:
        start, run = jax.random.split(key)
        rule = optax.adamw(warm_up_and_cosine(rate, float(num_steps)), weight_decay=0.0)
        theta = f.init(start)

        def step(carry: Any, key: Any) -> Any:
            theta, h = carry
            loss, gradient = jax.value_and_grad(f.loss)(theta, key)
            g, h = rule.update(gradient, h, theta)
            return (optax.apply_updates(theta, g), h), loss

        _, losses = jax.lax.scan(step, (theta, rule.init(theta)), jax.random.split(run, num_steps))
        last = losses[-num_steps // 10 :]
        return jnp.log(
            jnp.where(jnp.isfinite(last), jnp.minimum(last, WORST), WORST) + LEAST
        ).mean()

    keys = jax.random.split(jax.random.key(1), RUNS)
    by_run = jax.vmap(end, (None, 0))
    return np.asarray(
        jax.jit(lambda rates: jax.lax.map(lambda r: by_run(r, keys), rates))(RATES).mean(1)
    )


if __name__ == "__main__":
    drawn = draw_examples()
    for name, part in PARTS.items():
        short, long = (ends(part, drawn[part.examples], steps) for steps in (250, 500))
        u = max(SMALLEST, short.min() - long.min())
        print(
            f"{name:16} a {long.min():.2f}  u {u:.2g}  rate {RATES[long.argmin()]:.2g}", flush=True
        )
