"""A family of problems for metadescent, to be made your own: my_problem.

    metadescent train my_problem.py:my_problem --out runs/my_problem
    metadescent evaluate runs/my_problem "my_problem.py:my_problem(seed=1)"

The first command learns an optimizer for the family, the second compares it with tuned optimizers,
SGD and Adam among them, on tasks that it has not seen. As it stands, a task is a straight line to
be fitted to ten points.
"""

import jax
import jax.numpy as jnp

from metadescent import FromFunction


def task(key):
    """Draw one task: the numbers that make this f differ from the next.

    Any pytree of arrays will do, of the same shapes for every task. If your tasks lie in a file,
    load them in `my_problem` instead, one along the first axis of each array.
    """
    x_key, line_key, noise_key = jax.random.split(key, 3)
    x = jax.random.normal(x_key, (10,))
    slope, offset = jax.random.normal(line_key, (2,))
    return {"x": x, "y": slope * x + offset + 0.1 * jax.random.normal(noise_key, (10,))}


def init(key):
    """Draw θ₀: where an optimizer starts. Any pytree of floating-point arrays."""
    return {"slope": jax.random.normal(key), "offset": jnp.zeros(())}


def loss(theta, key, task):
    """Return f(θ), a number to be made small.

    `key` is for what is random in it, such as dropout.
    """
    predicted = theta["slope"] * task["x"] + theta["offset"]
    return jnp.mean((predicted - task["y"]) ** 2)


def my_problem(size: int = 1000, seed: int = 0):
    """Return the family; its arguments are options on the command line, as above."""
    tasks = jax.vmap(task)(jax.random.split(jax.random.key(seed), size))
    # Other families: one data set, of which each step sees 32 examples drawn afresh, is
    # FromFunction(loss, init, examples, batch_size=32). One function whose runs differ in θ₀ and
    # the key alone is FromFunction(loss, init), with loss(theta, key).
    return FromFunction(loss, init, tasks)
