"""Ten small families of problems, each of another kind, as people bring them.

Each function returns a problem whose tasks depend on `seed`. Learn on the tasks of one seed, and
judge the optimizer on those of another:

    metadescent train examples/gallery/families.py:gp --out runs/gp
    metadescent evaluate runs/gp "examples/gallery/families.py:gp(seed=1)" --seeds 128
"""

import jax
import jax.numpy as jnp
import numpy as np

from metadescent import FromFunction


def _tasks(task, seed, size):
    return jax.vmap(task)(jax.random.split(jax.random.key(1000 + seed), size))


def _mlp_init(key, sizes):
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(k, (a, b)) / jnp.sqrt(a), jnp.zeros(b))
        for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def _mlp(theta, x):
    for w, b in theta[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = theta[-1]
    return x @ w + b


def sines(seed: int = 0, size: int = 1000):
    """Regress one sine a task, 20 noisy points, with a 1-16-16-1 tanh network (321 coordinates)."""

    def task(key):
        a, p, x, n = jax.random.split(key, 4)
        x = jax.random.uniform(x, (20, 1), minval=-4.0, maxval=4.0)
        amp = jax.random.uniform(a, minval=0.5, maxval=3.0)
        y = amp * jnp.sin(x + jax.random.uniform(p, maxval=3.14)) + 0.05 * jax.random.normal(
            n, x.shape
        )
        return {"x": x, "y": y}

    def loss(theta, key, t):
        return jnp.mean((_mlp(theta, t["x"]) - t["y"]) ** 2)

    return FromFunction(loss, lambda key: _mlp_init(key, (1, 16, 16, 1)), _tasks(task, seed, size))


def exponentials(seed: int = 0, size: int = 1000):
    """Fit a sum of two decays to 40 noisy points: θ = log amplitudes, log rates."""
    x = jnp.linspace(0.0, 6.0, 40)

    def model(theta):
        return jnp.exp(theta[:2]) @ jnp.exp(-jnp.exp(theta[2:])[:, None] * x)

    def task(key):
        k1, k2 = jax.random.split(key)
        true = jnp.array([0.5, 0.0, 1.0, -1.0]) + 0.5 * jax.random.normal(k1, (4,))
        return model(true) + 0.02 * jax.random.normal(k2, x.shape)

    def init(key):
        return jnp.array([0.0, 0.0, 0.5, -0.5]) + 0.1 * jax.random.normal(key, (4,))

    return FromFunction(
        lambda th, key, y: jnp.mean((model(th) - y) ** 2), init, _tasks(task, seed, size)
    )


def completion(seed: int = 0, size: int = 1000):
    """Complete a 20 × 15 matrix of rank 3 from half of its noisy entries (105 coordinates)."""

    def task(key):
        u, v, m, n = jax.random.split(key, 4)
        full = jax.random.normal(u, (20, 3)) @ jax.random.normal(v, (3, 15)) / jnp.sqrt(3.0)
        return {
            "y": full + 0.05 * jax.random.normal(n, full.shape),
            "seen": jax.random.bernoulli(m, 0.5, full.shape),
        }

    def init(key):
        a, b = jax.random.split(key)
        return {"u": 0.3 * jax.random.normal(a, (20, 3)), "v": 0.3 * jax.random.normal(b, (15, 3))}

    def loss(th, key, t):
        residual = jnp.where(t["seen"], th["u"] @ th["v"].T - t["y"], 0.0)
        return jnp.sum(residual**2) / jnp.sum(t["seen"]) + 1e-3 * (
            jnp.sum(th["u"] ** 2) + jnp.sum(th["v"] ** 2)
        )

    return FromFunction(loss, init, _tasks(task, seed, size))


def digit_pairs(seed: int = 0):
    """Tell two digits apart, logistic regression on real 8 × 8 images in minibatches of 16."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(10) for b in range(a)]
    rng.shuffle(pairs)
    pairs = pairs[:22] if seed == 0 else pairs[:23]
    xs, ys = [], []
    for a, b in pairs:
        rows = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:150] for c in (a, b)])
        xs.append(images[rows] / 16.0)
        ys.append((labels[rows] == a).astype(np.float32))
    data = {"x": np.stack(xs).astype(np.float32), "y": np.stack(ys)}

    def loss(th, key, t):
        rows = jax.random.randint(key, (16,), 0, t["x"].shape[0])
        z = t["x"][rows] @ th["w"] + th["b"]
        return jnp.mean(jax.nn.softplus(z) - t["y"][rows] * z)

    return FromFunction(loss, lambda key: {"w": jnp.zeros(64), "b": jnp.zeros(())}, data)


def poisson_pinn(seed: int = 0, size: int = 500):
    """Solve u'' = f on [0, 1], u(0) = u(1) = 0, by a 1-16-16-1 network; f differs by task."""
    x = jnp.linspace(0.0, 1.0, 32)

    def task(key):
        return 5.0 * jax.random.normal(key, (3,))

    def loss(th, key, c):
        def u(s):
            return s * (1.0 - s) * _mlp(th, s[None, None])[0, 0]

        second = jax.vmap(jax.grad(jax.grad(u)))(x)
        f = jnp.sin(jnp.pi * jnp.outer(x, jnp.arange(1, 4))) @ c
        return jnp.mean((second - f) ** 2)

    return FromFunction(loss, lambda key: _mlp_init(key, (1, 16, 16, 1)), _tasks(task, seed, size))


def arm(seed: int = 0, size: int = 1000):
    """Inverse kinematics: bring the hand of a planar arm of five links to a target, gently bent."""

    def task(key):
        a, b = jax.random.split(key)
        r = jax.random.uniform(a, minval=1.0, maxval=4.5)
        t = jax.random.uniform(b, minval=-3.1, maxval=3.1)
        return r * jnp.array([jnp.cos(t), jnp.sin(t)])

    def loss(th, key, target):
        angle = jnp.cumsum(th)
        hand = jnp.array([jnp.sum(jnp.cos(angle)), jnp.sum(jnp.sin(angle))])
        return jnp.sum((hand - target) ** 2) + 1e-2 * jnp.sum(th[1:] ** 2)

    return FromFunction(
        loss, lambda key: 0.3 * jax.random.normal(key, (5,)), _tasks(task, seed, size)
    )


def mixture(seed: int = 0, size: int = 500):
    """Fit a mixture of three Gaussians to 100 points of the plane: negative log-likelihood."""

    def task(key):
        m, z, n = jax.random.split(key, 3)
        centres = 3.0 * jax.random.normal(m, (3, 2))
        return centres[jax.random.randint(z, (100,), 0, 3)] + 0.7 * jax.random.normal(n, (100, 2))

    def init(key):
        return {
            "logit": jnp.zeros(3),
            "mean": jax.random.normal(key, (3, 2)),
            "log_sd": jnp.zeros(3),
        }

    def loss(th, key, x):
        d2 = jnp.sum((x[:, None] - th["mean"]) ** 2, -1)
        logp = (
            jax.nn.log_softmax(th["logit"])
            - 2 * th["log_sd"]
            - 0.5 * d2 * jnp.exp(-2 * th["log_sd"])
        )
        return -jnp.mean(jax.nn.logsumexp(logp, -1)) + jnp.log(2 * jnp.pi)

    return FromFunction(loss, init, _tasks(task, seed, size))


def gp(seed: int = 0, size: int = 500):
    """Fit a Gaussian process to 20 points: the negative log marginal likelihood a point."""

    def kernel(th, x):
        d = x[:, None] - x
        return jnp.exp(2 * th[0] - 0.5 * d**2 * jnp.exp(-2 * th[1])) + (
            jnp.exp(2 * th[2]) + 1e-4
        ) * jnp.eye(len(x))

    def task(key):
        a, b, c = jax.random.split(key, 3)
        x = jnp.sort(jax.random.uniform(a, (20,), maxval=5.0))
        true = jnp.array([0.3, 0.0, -2.0]) + 0.5 * jax.random.normal(b, (3,))
        y = jnp.linalg.cholesky(kernel(true, x)) @ jax.random.normal(c, (20,))
        return {"x": x, "y": y}

    def loss(th, key, t):
        k = kernel(th, t["x"])
        chol = jnp.linalg.cholesky(k)
        alpha = jax.scipy.linalg.cho_solve((chol, True), t["y"])
        return (0.5 * t["y"] @ alpha + jnp.sum(jnp.log(jnp.diag(chol)))) / len(t["y"]) + 0.92

    return FromFunction(
        loss, lambda key: 0.1 * jax.random.normal(key, (3,)), _tasks(task, seed, size)
    )


def cluster(seed: int = 0, size: int = 200):
    """Relax seven atoms from rough positions: a Lennard-Jones energy an atom, softened core."""

    def task(key):
        return 1.0 + 0.1 * jax.random.normal(key, (7,))

    def init(key):
        ring = jnp.stack(
            [jnp.cos(2 * jnp.pi * jnp.arange(7) / 7), jnp.sin(2 * jnp.pi * jnp.arange(7) / 7)], 1
        )
        return jnp.concatenate([1.3 * ring, jnp.zeros((7, 1))], 1) + 0.1 * jax.random.normal(
            key, (7, 3)
        )

    def loss(th, key, radius):
        d2 = jnp.sum((th[:, None] - th) ** 2, -1) + jnp.eye(7)
        s2 = (0.5 * (radius[:, None] + radius)) ** 2
        q = (s2 / (d2 + 0.05)) ** 3
        return jnp.sum(jnp.triu(4 * (q**2 - q), 1)) / 7 + 1e-3 * jnp.sum(th**2)

    return FromFunction(loss, init, _tasks(task, seed, size))


def denoising(seed: int = 0, size: int = 300):
    """Total-variation denoising of 16 × 16 pictures of discs and bars (256 coordinates)."""
    i, j = jnp.meshgrid(jnp.arange(16.0), jnp.arange(16.0), indexing="ij")

    def task(key):
        a, b, _, n = jax.random.split(key, 4)
        cy, cx, r = jax.random.uniform(a, (3,), minval=3.0, maxval=12.0)
        picture = ((i - cy) ** 2 + (j - cx) ** 2 < (r / 2) ** 2).astype(float)
        row = jax.random.randint(b, (), 1, 14)
        picture = jnp.maximum(picture, 0.6 * (jnp.abs(i - row) < 1.5))
        return picture + 0.2 * jax.random.normal(n, picture.shape)

    def loss(th, key, y):
        tv = jnp.sum(jnp.sqrt(jnp.diff(th, axis=0) ** 2 + 1e-4)) + jnp.sum(
            jnp.sqrt(jnp.diff(th, axis=1) ** 2 + 1e-4)
        )
        return (jnp.sum((th - y) ** 2) + 0.3 * tv) / 256

    return FromFunction(
        loss, lambda key: 0.1 * jax.random.normal(key, (16, 16)), _tasks(task, seed, size)
    )
