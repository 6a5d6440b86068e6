"""Pictorial: Adam at first, invariances, filters by their formulas, who sees whom, any shape."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.ndimage import gaussian_filter

from metadescent.meta.loss import forms
from metadescent.optimizers.pictorial.pictorial import Pictorial
from metadescent.optimizers.pictorial.windows import gaussian_windows

KEY = jax.random.key(0)
BETAS, BLURS, TAU, SCALE, UNITS = (0.5, 0.9, 0.99), (0.7, 2.0), 3.0, 0.7, 4
WINDOW, FINE, COARSE = 2.0, 1.5, 0.7
STEPS, HEIGHT, WIDTH = 5, 6, 7
GRADIENTS = jax.random.normal(jax.random.key(1), (STEPS, HEIGHT, WIDTH, 3))


def make(**options: Any) -> Pictorial:
    given = {"units": UNITS, "betas": BETAS, "blurs": BLURS, "tau": TAU, "scale": SCALE}
    given |= {"window": WINDOW, "fine": FINE, "coarse": COARSE}
    return Pictorial(**given | options, key=KEY)


def loud(m: Pictorial) -> Pictorial:
    """The same rule with W, A and v at random, so that each feature has a say."""
    shapes = m.output.shape, m.mix.shape, m.trust.shape
    keys = jax.random.split(jax.random.key(2), 3)
    phi = tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))
    return eqx.tree_at(lambda m: (m.output, m.mix, m.trust), m, phi)


M = loud(make())
NO_MEMORY = loud(make(memory=0))
ALONE = loud(make(blurs=(), memory=0))


def path(gradients: Any) -> Any:
    """A θ for each gradient, along which f is curved upwards."""
    return jax.tree.map(jnp.tanh, gradients)


@eqx.filter_jit
def updates(m: Any, gradients: Any, thetas: Any = None) -> Any:
    def step(h: Any, at: Any) -> tuple[Any, Any]:
        gradient, theta = at
        g, h = m.update(gradient, h, theta)
        return h, g

    thetas = path(gradients) if thetas is None else thetas
    first = jax.tree.map(lambda x: x[0], thetas)
    return jax.lax.scan(step, m.init(first), (gradients, thetas))[1]


@eqx.filter_jit
def features(m: Pictorial, gradients: jax.Array) -> jax.Array:
    """x of each step, feature by feature, of gradients with their colours first."""

    def step(moments: Any, gradient: jax.Array) -> tuple[Any, jax.Array]:
        x, moments = m.features(gradient, moments)
        return moments, x

    return jax.lax.scan(step, m.init(jnp.moveaxis(gradients[0], 0, -1))[0], gradients)[1]


PLANES = jnp.moveaxis(GRADIENTS, -1, 1)


@pytest.mark.parametrize(
    ("betas", "middle"), [((0.5, 0.9, 0.99), 0.9), ((0.8,), 0.8), ((0.7, 0.95), 0.95)], ids=str
)
def test_before_training_it_is_adam_but_for_what_the_lstm_says(
    betas: tuple[float, ...], middle: float, assert_close: Callable
) -> None:
    m = make(betas=betas, memory=0)
    adam = updates(optax.scale_by_adam(middle, betas[-1], eps=0.0), GRADIENTS)
    factor = SCALE / jnp.sqrt(1 + jnp.arange(STEPS) / TAU)
    expected = -factor[:, None, None, None] * adam
    silent = eqx.tree_at(lambda m: m.output, m, jnp.zeros_like(m.output))
    assert_close(updates(silent, GRADIENTS), expected, rtol=1e-4)
    # |h| < 1, and its part in g is at most the sum of a row of W.
    bound = factor * jnp.abs(m.output).sum(1).max()
    departure = jnp.abs(updates(m, GRADIENTS) - expected).max((1, 2, 3))
    assert (departure > 0).all()
    assert (departure < bound).all()


def newton(m: Pictorial) -> np.ndarray:
    """n of each step, by matrices on all coordinates, colours first."""
    g = np.asarray(PLANES, np.float64).reshape(STEPS, -1)
    theta = np.asarray(jnp.moveaxis(path(GRADIENTS), -1, 1), np.float64).reshape(STEPS, -1)
    s, y, everywhere = np.diff(theta, axis=0), np.diff(g, axis=0), np.ones((1, g[0].size))
    windows = matrix_of_windows()
    bands = m.fine * np.eye(g[0].size)
    bands += m.coarse * sum(np.linalg.matrix_power(matrix_of_blur(blur), 2) for blur in BLURS)
    found = [np.zeros_like(g[0])]
    for t in range(1, STEPS):
        counts = counting(s[:t], y[:t], windows) * 0.5 ** np.arange(t)[::-1, None]
        sy, yy = (s[:t] * y[:t]) @ windows.T, y[:t] ** 2 @ windows.T
        root = np.diag(np.sqrt((counts * sy).sum(0) / (counts * yy).sum(0) @ windows))
        H = root @ bands @ root
        for over in (windows, everywhere):
            counts = counting(s[:t], y[:t], over)
            for s_j, y_j, counts_j in zip(s[:t], y[:t], counts, strict=True):
                rho = over.T @ np.diag(counts_j / (over @ (s_j * y_j))) @ over
                V = np.eye(g[0].size) - np.diag(y_j) @ rho @ np.diag(s_j)
                H = V.T @ H @ V + np.diag(s_j) @ rho @ np.diag(s_j)
        n = -H @ g[t] / m.scale
        found.append(n / max(1.0, 2 * np.sqrt(np.mean(n**2))))
    return np.reshape(found, PLANES.shape)


def counting(s: np.ndarray, y: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Which pairs are curved upwards in which window."""
    return (s * y) @ windows.T > 0.01 * np.sqrt((s**2 @ windows.T) * (y**2 @ windows.T))


def matrix_of_windows() -> np.ndarray:
    """A row for each window of `WINDOW`: what it weighs each coordinate with."""
    windows = gaussian_windows(WINDOW, HEIGHT, WIDTH)
    each = jnp.eye(3 * HEIGHT * WIDTH).reshape(-1, 3, HEIGHT, WIDTH)
    sums = np.stack([windows.gather(one) for one in each])
    assert sums.shape[1:] == (3, 4)
    return sums.reshape(len(each), -1).T.astype(np.float64)


def matrix_of_blur(width: float) -> np.ndarray:
    """SciPy's filter of every picture that is one coordinate."""
    each = np.eye(3 * HEIGHT * WIDTH).reshape(-1, 3, HEIGHT, WIDTH)
    return gaussian_filter(each, (0, 0, width, width), truncate=20.0).reshape(len(each), -1)


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_with_a_memory_it_is_half_of_adam_and_all_of_l_bfgs(
    scale: float, assert_close: Callable
) -> None:
    """No longer than half of the scale: the smaller one shortens it."""
    m = make(scale=scale)
    silent = eqx.tree_at(lambda m: m.output, m, jnp.zeros_like(m.output))
    factor = (scale / jnp.sqrt(1 + jnp.arange(STEPS) / TAU))[:, None, None, None]
    adam = updates(optax.scale_by_adam(0.9, 0.99, eps=0.0), GRADIENTS)
    n = np.moveaxis(newton(m), 1, -1)
    assert_close(updates(silent, GRADIENTS), factor * (n - 0.5 * adam), rtol=1e-4, atol=1e-5)
    sizes = np.sqrt(np.mean(n[1:] ** 2, (1, 2, 3)))
    assert (sizes > 0.499).all() == (scale == 0.3)


def test_the_features_are_means_filtered_and_normalized_and_a_clock() -> None:
    g = np.asarray(PLANES, np.float64)
    for t, x in enumerate(features(make(clock=3.0), PLANES), 1):

        def running(beta: float, values: np.ndarray, t: int = t) -> np.ndarray:
            weights = (1 - beta) * beta ** np.arange(t - 1, -1, -1) / (1 - beta**t)
            return np.tensordot(weights, values[:t], 1)

        means = np.concatenate([running(beta, g) for beta in BETAS])
        v = running(BETAS[-1], g**2)
        whole = means / np.sqrt(v.mean())
        expected = [
            whole,
            *(gaussian_filter(whole, (0, width, width), truncate=20.0) for width in BLURS),
        ]
        expected += [means / np.tile(np.sqrt(v), (len(BETAS), 1, 1))]
        expected += [np.full((1, HEIGHT, WIDTH), np.log10(min(t, 4)) / 4)]
        np.testing.assert_allclose(x, np.concatenate(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1e-6, 0.7, 50.0])
def test_what_is_the_same_everywhere_is_not_changed_by_a_blur(width: float) -> None:
    """At the borders neither: the weights that are left sum to 1."""
    colours = jnp.asarray([2.0, -3.0, 0.5])[:, None, None]
    x = features(make(betas=(0.9,), blurs=(width,)), colours * jnp.ones((2, 3, HEIGHT, WIDTH)))
    whole, around = x[:, :3], x[:, 3:6]
    np.testing.assert_allclose(around, whole, rtol=1e-5)
    np.testing.assert_allclose(whole[0], np.broadcast_to(x[0, :3, :1, :1], whole[0].shape))


def test_it_is_equinoxs_cell_on_each_pixel(assert_close: Callable) -> None:
    """And all colours of g are from W h + A x + (v h) n there."""
    h = c = jnp.zeros((HEIGHT, WIDTH, UNITS))
    cell, expected = jax.jit(jax.vmap(jax.vmap(M.cell))), []
    of_gradient = jnp.moveaxis(features(M, PLANES), 1, -1)
    for t, (x, n) in enumerate(zip(of_gradient, np.moveaxis(newton(M), 1, -1), strict=True)):
        x = jnp.concatenate([x[..., :-1], n, x[..., -1:]], -1)
        h, c = cell(x, (h, c))
        g = h @ M.output.T + x @ M.mix.T + (h @ M.trust)[..., None] * n
        expected.append(SCALE * (1 + t / TAU) ** -0.5 * g)
    assert_close(updates(M, GRADIENTS), jnp.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1e-6, 1e3])
def test_the_scale_of_f_does_not_matter(factor: float, assert_close: Callable) -> None:
    scaled = updates(M, factor * GRADIENTS, path(GRADIENTS))
    assert_close(scaled, updates(M, GRADIENTS), rtol=1e-3, atol=1e-5)


def test_where_theta_is_does_not_matter(assert_close: Callable) -> None:
    moved = updates(M, GRADIENTS, path(GRADIENTS) + 2.0)
    assert_close(moved, updates(M, GRADIENTS), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "turn",
    [lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x.swapaxes(1, 2)],
    ids=["upside down", "in a mirror", "transposed"],
)
def test_it_commutes_with_flips_and_transposition(turn: Callable, assert_close: Callable) -> None:
    assert_close(updates(M, turn(GRADIENTS)), turn(updates(M, GRADIENTS)), rtol=1e-4, atol=1e-5)


def test_colours_are_not_alike_and_see_each_other() -> None:
    rolled = updates(M, jnp.roll(GRADIENTS, 1, axis=-1))
    assert (jnp.abs(rolled - jnp.roll(updates(M, GRADIENTS), 1, axis=-1)) > 1e-3).any()
    # A sign that is turned round leaves every √v as it was.
    turned = updates(NO_MEMORY, GRADIENTS.at[0, 2, 3, 0].multiply(-1.0))
    assert (jnp.abs(turned - updates(NO_MEMORY, GRADIENTS))[0, 2, 3, 1:] > 1e-3).all()


def changed(m: Pictorial, factor: float) -> np.ndarray:
    """Which pixels' updates change where the gradient at the first corner does, at every step."""
    other = updates(m, GRADIENTS.at[:, 0, 0].multiply(factor), path(GRADIENTS))
    return np.abs(np.asarray(other - updates(m, GRADIENTS))).max((0, 3)) > 1e-5


def test_without_blurs_pixels_know_of_each_other_by_the_mean_alone() -> None:
    only_corner = np.zeros((HEIGHT, WIDTH), bool)
    only_corner[0, 0] = True
    np.testing.assert_array_equal(changed(ALONE, -1.0), only_corner)
    assert changed(ALONE, 10.0).all()


def test_blurs_reach_as_far_as_they_are_wide() -> None:
    """A Gaussian of 0.3 is below 10⁻⁸ from two pixels on, and nothing is handed on in time."""
    near = np.zeros((HEIGHT, WIDTH), bool)
    near[:2, :2] = True
    reached = changed(loud(make(blurs=(0.3,), memory=0)), -1.0)
    assert reached[0, 1]
    assert reached[1, 0]
    assert not (reached & ~near).any()
    assert changed(NO_MEMORY, -1.0).all()


def test_with_a_memory_each_pixel_knows_of_all() -> None:
    m = loud(make(blurs=()))
    assert changed(m, -1.0).all()


@pytest.mark.parametrize("memory", [0, 10])
def test_without_blurs_a_picture_beside_itself_is_no_other_picture(
    memory: int, assert_close: Callable
) -> None:
    """At any resolution, if windows are larger: what is divided by is a mean."""
    m, tiles = loud(make(blurs=(), memory=memory, window=1e3)), (1, 2, 3, 1)
    expected = jnp.tile(updates(m, GRADIENTS), tiles)
    assert_close(updates(m, jnp.tile(GRADIENTS, tiles)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [(9, 2), (1, 5)])
def test_a_picture_of_one_colour_is_one_pixel_at_any_resolution(
    size: tuple[int, int], assert_close: Callable
) -> None:
    pixel = GRADIENTS[:, :1, :1]
    expected = jnp.tile(updates(M, pixel), (1, *size, 1))
    assert_close(updates(M, jnp.tile(pixel, (1, *size, 1))), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (0, 4)])
def test_pictures_are_of_any_size_and_the_state_is_of_pixels(size: tuple[int, int]) -> None:
    picture = jnp.ones((*size, 3))
    pixels = size[0] * size[1]
    for memory, each, whole in ((0, 0, 1), (4, 3 * (2 + 2 * 4), 2)):
        m = loud(make(memory=memory))
        g, h = m.update(picture, m.init(picture), picture)
        assert g.shape == picture.shape
        assert np.isfinite(g).all()
        each += 3 * len(BETAS) + 3 + 2 * UNITS
        assert sum(leaf.size for leaf in jax.tree.leaves(h)) == pixels * each + whole


def test_what_is_no_picture_is_coordinates_for_themselves(assert_close: Callable) -> None:
    """Each is the mean colour of a grey picture of one pixel."""
    gradients = GRADIENTS[..., 0]
    grey = jnp.broadcast_to(gradients[..., None, None, None], (*gradients.shape, 1, 1, 3))
    each = jax.vmap(jax.vmap(lambda g: updates(M, g), 1, 1), 1, 1)
    expected = each(grey).mean((-3, -2, -1))
    assert_close(updates(M, gradients), expected, rtol=1e-4, atol=1e-5)


def test_coordinates_of_what_is_no_picture_have_no_order(assert_close: Callable) -> None:
    gradients = GRADIENTS[:, :, 0, 0]
    order = np.asarray([3, 5, 0, 1, 4, 2])
    assert_close(updates(M, gradients[:, order]), updates(M, gradients)[:, order])
    wide = {"a": gradients.reshape(STEPS, 1, 6, 1), "none": None, "b": gradients[:, 2]}
    expected = updates(M, gradients)
    expected = {"a": expected.reshape(wide["a"].shape), "none": None, "b": expected[:, 2]}
    assert_close(updates(M, wide), expected)


@pytest.mark.slow
def test_pictures_of_a_batch_and_of_a_tree_are_for_themselves(assert_close: Callable) -> None:
    pictures = GRADIENTS, -2 * GRADIENTS[:, :4, 1:3]
    expected = tuple(updates(M, picture) for picture in pictures)
    assert_close(updates(M, pictures), expected, rtol=1e-4, atol=1e-5)
    batch = jnp.stack([GRADIENTS, GRADIENTS[::-1] ** 2], axis=1)
    together = updates(M.over_batch(), batch)
    for b in range(2):
        assert_close(together[:, b], updates(M, batch[:, b]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_picture_of_low_precision_is_computed_in_phis() -> None:
    picture = GRADIENTS[0].astype(jnp.bfloat16)
    g, h = M.update(picture, M.init(picture), picture)
    assert g.dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves(h)} == {"float32", "int32"}


def test_without_theta_it_cannot_follow_its_steps(sentence: Callable) -> None:
    said = "pictorial follows the steps of θ and was given none; pass params"
    assert sentence(M.update, GRADIENTS[0], M.init(GRADIENTS[0])) == said
    g, _ = NO_MEMORY.update(GRADIENTS[0], NO_MEMORY.init(GRADIENTS[0]))
    assert np.isfinite(g).all()


def test_the_factor_is_on_all_of_the_step(assert_close: Callable) -> None:
    t = jnp.arange(STEPS)[:, None, None, None]
    eternal = updates(loud(make(tau=1e30)), GRADIENTS)
    assert_close(updates(M, GRADIENTS), eternal / jnp.sqrt(1 + t / TAU))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_nothing_or_all_too_much_to_do_is_finite(size: float) -> None:
    assert np.isfinite(updates(M, size * GRADIENTS)).all()
    assert np.isfinite(features(M, size * PLANES)).all()


@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-18])
def test_second_derivatives_have_a_derivative_where_there_is_nothing_to_do(size: float) -> None:
    """∂g/∂∇, which they go through."""
    slope = jax.jit(jax.jacrev(lambda gradients: updates(M, gradients)))
    assert np.isfinite(slope(size * GRADIENTS[:2, :2, :1])).all()


def test_its_meta_gradient_goes_through_the_unroll_and_reaches_phi() -> None:
    assert forms(M) == ("recompute", "plain", "segments")
    slope = eqx.filter_jit(eqx.filter_grad(lambda m: (updates(m, GRADIENTS) ** 2).sum()))(make())
    for leaf in jax.tree.leaves(slope):
        assert np.isfinite(leaf).all()
        assert leaf.any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"units": 0}, "units is 0 and must be at least 1"),
        ({"betas": ()}, "betas is empty; give one decay or more, such as (0.9, 0.99)"),
        ({"betas": (0.9, 1.0)}, "a beta is 1.0 and must be from 0 to 0.99999"),
        ({"betas": (-0.1,)}, "a beta is -0.1 and must be from 0 to 0.99999"),
        ({"blurs": (1.5, 0.0)}, "a blur is 0.0 and must be at least 1e-06"),
        ({"tau": 0.0}, "tau is 0.0 and must be at least 1e-06"),
        ({"clock": -1.0}, "clock is -1.0 and must be at least 0"),
        ({"scale": 0.0}, "scale is 0.0 and must be at least 1e-12"),
        ({"memory": -1}, "memory is -1 and must be at least 0"),
        ({"window": 0.0}, "window is 0.0 and must be at least 1e-06"),
        ({"fine": 0.0}, "fine is 0.0 and must be at least 1e-06"),
        ({"coarse": -1.0}, "coarse is -1.0 and must be at least 0"),
    ],
    ids=str,
)
def test_options_of_no_sense_are_refused(
    wrong: dict[str, Any], said: str, sentence: Callable
) -> None:
    assert sentence(Pictorial, **wrong, key=KEY) == said
