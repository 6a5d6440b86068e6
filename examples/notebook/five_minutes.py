# %% [markdown]
# # Learn an optimizer in five minutes
#
# You fit the same kind of function again and again; in this notebook it is a logistic regression of
# 30 observations. `metadescent.learn` finds an optimizer for exactly that, and says whether it is
# worth having. Every result below is shown as a table and a picture.

# %%
import jax
import jax.numpy as jnp
import optax

import metadescent
from metadescent import FromFunction
from metadescent.runs import Run

MINUTES = 2.0  # for the search and the training; the verdict comes on top
SEEDS = 64  # tasks that optimizers are compared on
STEPS = 100

# %% [markdown]
# ## The family
#
# A family says where θ starts, what is to be minimized, and what differs from one task to the next.


# %%
def init(key):
    return {"w": 0.1 * jax.random.normal(key, (4,)), "b": jnp.zeros(())}


def loss(theta, key, task):
    z = task["x"] @ theta["w"] + theta["b"]
    return jnp.mean(jax.nn.softplus(z) - task["y"] * z) + 0.01 * jnp.sum(theta["w"] ** 2)


def task(key):
    """Draw a regression: the inputs x, and the outcomes y."""
    x_key, w_key, y_key = jax.random.split(key, 3)
    x = jax.random.normal(x_key, (30, 4))
    y = jax.random.bernoulli(y_key, jax.nn.sigmoid(x @ (2 * jax.random.normal(w_key, (4,)))))
    return {"x": x, "y": y.astype(float)}


def regressions(seed=0):
    return FromFunction(loss, init, jax.vmap(task)(jax.random.split(jax.random.key(seed), 1000)))


# %% [markdown]
# ## Learn
#
# The folder keeps the run. The same call goes on with it after a stop.

# %%
learned = metadescent.learn(regressions(), minutes=MINUTES, steps=STEPS, folder="regressions")
learned

# %% [markdown]
# ## Compare
#
# The baselines have the rates that a search finds best for this family and horizon. The tasks of
# `seed=1` are new to all of them.

# %%
result = metadescent.compare(
    {"learned": learned.optimizer},
    regressions(seed=1),
    "regressions",
    baselines=["sgd", "adam"],
    num_steps=STEPS,
    num_seeds=SEEDS,
)
result

# %% [markdown]
# ## How the training went
#
# The doctor reads the log of the run and gives its verdicts, with the numbers behind them.

# %%
run = Run("regressions")
run

# %%
run.findings()

# %% [markdown]
# ## Use it
#
# The learned optimizer has Optax's two functions, `init` and `update`.

# %%
f = regressions(seed=2).sample(jax.random.key(0))
theta, tx = f.init(jax.random.key(1)), learned.optimizer.as_optax()
state, losses = tx.init(theta), []
for step in range(STEPS):
    value, gradient = jax.value_and_grad(f.loss)(theta, jax.random.key(step))
    updates, state = tx.update(gradient, state, theta)
    theta = optax.apply_updates(theta, updates)
    losses.append(float(value))
print(f"{losses[0]:.3f} at first, {losses[-1]:.3f} in the end")

# %% [markdown]
# ## A pretrained optimizer
#
# The card of a pretrained optimizer says what it was trained on, and has its losses there.

# %%
metadescent.zoo.card("mnist-lstm")
