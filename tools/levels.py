"""Measure how far AdamW gets on each network of `assorted`, and write `assorted_levels.py`.

    python tools/levels.py [NAME ...]

a is log(f + 10⁻⁴) over the last tenth of 500 steps, and u is how much higher this is over the last
tenth of 250 steps. Both are means of eight runs, at the best of thirteen rates. The rate goes up
over the first twentieth of the steps and down by half a cosine. If names are given, only these
networks are measured anew.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metadescent._files import write_atomically
from metadescent.bench.rivals import warm_up_and_cosine
from metadescent.problems import assorted_levels
from metadescent.problems.assorted import LEAST, PARTS, WORST, Trained, f_of
from metadescent.problems.assorted_levels import LEVELS
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
    drawn, lines, names = draw_examples(), [], sys.argv[1:]
    if unknown := {*names} - {*PARTS}:
        raise SystemExit(f"assorted has no {', '.join(unknown)}; it has {', '.join(PARTS)}")
    for name, part in PARTS.items():
        if names and name not in names and name in LEVELS:
            lines.append(f'    "{name}": {LEVELS[name]},')
            continue
        short, long = (ends(part, drawn[part.examples], steps) for steps in (250, 500))
        a, u = float(long.min()), max(SMALLEST, float(short.min() - long.min()))
        lines.append(f'    "{name}": ({a:.3g}, {u:.2g}),')
        print(f"{lines[-1]}  rate {RATES[long.argmin()]:.2g}", flush=True)
    rows = "\n".join(lines)
    head = Path(assorted_levels.__file__).read_text(encoding="utf-8").partition("{")[0]
    write_atomically(Path(assorted_levels.__file__), f"{head}{{\n{rows}\n}}\n")
