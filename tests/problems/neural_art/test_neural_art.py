"""f of neural art: its three terms by hand, and what they do not see."""

from collections.abc import Callable, Collection

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metadescent.descent.tuning import tune
from metadescent.problems.batch import Batch
from metadescent.problems.neural_art.features import FeatureNetwork
from metadescent.problems.neural_art.neural_art import NeuralArt, StyledPicture, to_pixels, to_theta

KEY = jax.random.key(0)


class Small(FeatureNetwork):
    """Two layers that look at one pixel at a time."""

    style_layers = ("a", "b")
    content_layer = "b"
    least_size = 2

    kernels: tuple[jax.Array, jax.Array]

    def __init__(self, scale: float = 1.0):
        draw = np.random.default_rng(0).normal
        shapes = ((3, 4), (4, 5))
        first, second = (jnp.asarray(draw(size=shape), float) for shape in shapes)
        self.kernels = first / 255, second * scale

    def __call__(self, pixels: jax.Array, layers: Collection[str]) -> dict[str, jax.Array]:
        a = jax.nn.relu(pixels @ self.kernels[0].astype(pixels.dtype))
        b = jax.nn.relu(a @ self.kernels[1].astype(pixels.dtype))
        return {name: x for name, x in {"a": a, "b": b}.items() if name in layers}


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


CONTENTS, STYLE = pictures(3, 4, 5, 3), pictures(6, 4, 3, seed=1)


def art(**options: object) -> NeuralArt:
    options = {"network": Small(), "contents": CONTENTS, "style": STYLE, **options}
    return NeuralArt(**options)


# Compiled whole: operation by operation takes several times as long.
_sample = eqx.filter_jit(lambda problem: problem.sample(KEY))
terms_of = eqx.filter_jit(lambda f, theta: f.terms(theta))
loss_of = eqx.filter_jit(lambda f, theta, key: f.loss(theta, key))
slope_of = eqx.filter_jit(lambda f, theta: jax.value_and_grad(f.loss)(theta, KEY))
init_of = eqx.filter_jit(lambda f, key: f.init(key))


def f_of(**options: object) -> StyledPicture:
    """Return the f of a problem with these options."""
    return _sample(art(**options))


def a_theta() -> jax.Array:
    return jnp.asarray(np.random.default_rng(3).normal(size=(4, 5, 3), scale=0.5))


def by_hand(f: StyledPicture, theta: np.ndarray) -> list[float]:
    """The three terms, as the module's first lines have them."""
    first, second = (np.asarray(kernel, float) for kernel in f.network.kernels)

    def layers(pixels: np.ndarray) -> list[np.ndarray]:
        a = np.maximum(pixels.reshape(-1, 3) @ first, 0)
        return [a, np.maximum(a @ second, 0)]

    def grams(pixels: np.ndarray) -> list[np.ndarray]:
        return [x.T @ x / len(x) for x in layers(pixels)]

    pixels, content = 127.5 * (theta + 1), layers(np.asarray(f.content, float))[1]
    style = [
        np.sum((G - A) ** 2) / np.sum(A**2)
        for G, A in zip(grams(pixels), grams(STYLE.astype(float)), strict=True)
    ]
    steps = [np.mean(np.diff(theta, axis=axis) ** 2) for axis in (0, 1)]
    return [
        np.sum((layers(pixels)[1] - content) ** 2) / np.sum(content**2),
        np.mean(style),
        sum(steps),
    ]


def test_f_is_the_sum_of_its_weighed_terms() -> None:
    f = f_of(alpha=2.0, beta=3.0, gamma=5.0)
    theta = a_theta()
    expected = by_hand(f, np.asarray(theta, float))
    np.testing.assert_allclose(terms_of(f, theta), expected, rtol=1e-4)
    np.testing.assert_allclose(loss_of(f, theta, KEY), np.dot(expected, [2, 3, 5]), rtol=1e-4)
    assert loss_of(f, theta, jax.random.key(1)) == loss_of(f, theta, KEY)


def test_the_gradient_is_that_of_finite_differences() -> None:
    with jax.enable_x64(True):
        f = f_of()
        theta, direction = np.asarray(a_theta(), float), np.ones((4, 5, 3))
        direction[1, 2] = -2.0
        slope = np.vdot(slope_of(f, theta)[1], direction)
        ends = [float(slope_of(f, theta + h * direction)[0]) for h in (1e-6, -1e-6)]
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_the_content_has_no_content_loss_and_the_style_no_style_loss() -> None:
    f = f_of()
    assert float(terms_of(f, to_theta(f.content)).content) < 1e-9
    assert float(terms_of(f, a_theta()).style) > 1e-3
    same = f_of(contents=STYLE[None])
    assert float(terms_of(same, to_theta(STYLE)).style) < 1e-9
    assert float(terms_of(same, jnp.full((6, 4, 3), 0.3)).reg) == 0


def test_style_knows_no_places_and_no_sizes() -> None:
    """Under a network that looks at single pixels."""
    theta = a_theta()
    f, turned = (f_of(style=style) for style in (STYLE, np.tile(STYLE[::-1], (2, 2, 1))))
    np.testing.assert_allclose(terms_of(turned, theta).style, terms_of(f, theta).style, rtol=1e-4)


def test_the_size_of_a_layer_s_features_does_not_matter() -> None:
    theta = a_theta()
    f, larger = (f_of(network=Small(scale)) for scale in (1.0, 100.0))
    np.testing.assert_allclose(loss_of(larger, theta, KEY), loss_of(f, theta, KEY), rtol=1e-4)


def test_a_picture_in_which_nothing_is_seen_costs_1_for_content_and_1_for_style() -> None:
    """Black, under this network: all features are 0."""
    terms = terms_of(f_of(), jnp.full((4, 5, 3), -1.0))
    np.testing.assert_allclose(terms, [1, 1, 0], rtol=1e-6)


def test_where_it_starts() -> None:
    at_content = f_of(theta_std=0.0)
    np.testing.assert_array_equal(to_pixels(init_of(at_content, KEY)), at_content.content)
    wide = np.zeros((1, 60, 60, 3), np.uint8)
    for start, middle in (("content", -1.0), ("noise", 0.0)):
        theta = init_of(f_of(contents=wide, start=start, theta_std=0.5), KEY)
        assert abs(float(theta.mean()) - middle) < 0.02
        assert abs(float(theta.std()) - 0.5) < 0.02


def test_every_content_is_drawn() -> None:
    sample = jax.jit(lambda key: art().sample(key).content)
    drawn = {np.asarray(sample(key)).tobytes() for key in jax.random.split(KEY, 30)}
    assert drawn == {content.tobytes() for content in CONTENTS}


def test_side_by_side_they_share_the_network_and_the_style() -> None:
    problem = art()
    fs = Batch.sample(problem, KEY, 2)
    shared = {id(leaf) for leaf in jax.tree.leaves(fs.shared)}
    held = {id(leaf) for leaf in jax.tree.leaves((problem.network, problem.grams))}
    assert shared == held
    assert [leaf.shape for leaf in jax.tree.leaves(fs.own)] == [(2, 4, 5, 3), (2, 4, 5, 5)]


def test_a_rate_is_searched_for_on_pictures_that_are_no_squares() -> None:
    tuned = tune("adam", art(), KEY, num_steps=3, num_seeds=2)
    assert tuned.grid[0] < tuned.rate < tuned.grid[-1]


def test_pictures_and_thetas_are_two_ways_to_say_the_same() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(to_pixels(to_theta(every)), every)
    beyond = jnp.asarray([[[-3.0, 0.0, 3.0]]])
    assert to_pixels(beyond).tolist() == [[[0, 128, 255]]]


def test_what_does_not_fit_is_refused(sentence: Callable) -> None:
    assert sentence(art, contents=pictures(2, 1, 5, 3)) == (
        "a content picture has 1 × 5 pixels and Small takes 2 × 2 or more; try size=2"
    )
    assert sentence(art, style=pictures(9, 1, 3)).startswith("a style picture has 9 × 1 pixels")
    assert sentence(art, beta=-1.0) == "beta is -1.0 and must be at least 0"
    assert sentence(art, theta_std=-1.0) == "theta_std is -1.0 and must be at least 0"
    assert sentence(art, start="grey") == (
        "start is 'grey' and must be one of content, noise; try start=\"content\""
    )


def test_f_and_its_gradient_are_finite_where_the_network_sees_nothing() -> None:
    blind = eqx.tree_at(lambda n: n.kernels, Small(), (jnp.zeros((3, 4)), jnp.zeros((4, 5))))
    f = f_of(network=blind)
    value, gradient = slope_of(f, a_theta())
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_batch_may_go_through_the_contents_in_turn() -> None:
    problem = art(each=True, contents=pictures(7, 4, 5, 3))
    batch = eqx.filter_jit(Batch.sample)
    fs = batch(problem, KEY, 9)
    drawn = [picture.tobytes() for picture in np.asarray(fs.own.content)]
    assert sorted(drawn[:7]) == sorted(picture.tobytes() for picture in problem.contents)
    assert drawn[:7] != [picture.tobytes() for picture in problem.contents]
    assert drawn[7:] == drawn[:2]
    again = batch(problem, jax.random.key(1), 9)
    np.testing.assert_array_equal(again.own.content, fs.own.content)
    assert not np.array_equal(init_of(again, KEY)[0], init_of(again, jax.random.key(1))[0])


def test_large_pictures_are_styled_one_at_a_time() -> None:
    assert art(contents=np.zeros((2, 64, 64, 3), np.uint8)).at_once == 4
    assert art(contents=np.zeros((2, 128, 128, 3), np.uint8)).at_once == 1
    assert art(contents=np.zeros((2, 512, 512, 3), np.uint8)).at_once == 1
