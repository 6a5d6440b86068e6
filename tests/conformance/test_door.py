"""Every rule that discovery finds refuses what does not fit; its h₀ may be donated."""

import re
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metadescent import LearnedOptimizer
from metadescent._errors import UserError
from metadescent.optimizers.partitioned import Partitioned
from metadescent.registry import make_optimizer, optimizers

THETA = {"w": jnp.ones((3, 4)), "b": jnp.ones(2)}
CHAINS = [
    "* -> lstm",
    "lstm >> pace",
    "lstm >> relative",
    "b -> lstm + * -> optax.adam(learning_rate=0.1)",
]
NAMES = [*optimizers(), *CHAINS]


@pytest.fixture(params=NAMES, scope="module")
def m(request: pytest.FixtureRequest) -> LearnedOptimizer:
    return make_optimizer(request.param, jax.random.key(0))


def reshaped(shape: tuple[int, ...]) -> dict[str, jax.Array]:
    return {**THETA, "w": jnp.ones(shape)}


def refusal(f: Any, *args: Any) -> str:
    with pytest.raises(UserError) as raised:
        f(*args)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


OTHERS = {"transposed": (4, 3), "larger": (3, 40), "smaller": (3, 2), "flat": (12,), "one": (1, 1)}


@pytest.mark.parametrize("other", OTHERS)
def test_the_state_of_another_theta_is_refused(m: LearnedOptimizer, other: str) -> None:
    theta = reshaped(OTHERS[other])
    state, its = (jax.eval_shape(m.init, x) for x in (THETA, theta))
    # Some keep nothing, and a row of all coordinates knows no shapes of leaves.
    if [x.shape for x in jax.tree.leaves(state)] == [x.shape for x in jax.tree.leaves(its)]:
        return
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state)
    for update in (m.update, jax.jit(lambda *given: m.update(*given)), m.as_optax().update):
        sentence = refusal(update, theta, state, theta)
        assert re.search(
            r"state .*h\S+ is \w+\[.*\] and must be \w+\[.*\] for a gradient", sentence
        )
        assert sentence.endswith("begin with init(θ) for this θ")


def test_a_state_of_another_dtype_or_with_other_leaves_is_refused(m: LearnedOptimizer) -> None:
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(m.init, THETA))
    leaves, treedef = jax.tree.flatten(state)
    if not leaves:
        return
    whole = treedef.unflatten([x.astype(jnp.int8) for x in leaves])
    assert "int8[" in refusal(m.update, THETA, whole, THETA)
    assert "lacks the leaf h" in refusal(m.update, THETA, (), THETA)


def test_theta_of_other_shapes_than_the_gradient_is_refused(m: LearnedOptimizer) -> None:
    state = m.init(THETA)
    expected = r"θ\['w'\] has the shape \(4, 3\) and its gradient \(3, 4\)"
    assert re.match(expected, refusal(m.update, THETA, state, reshaped((4, 3))))


def test_complex_leaves_are_refused_as_in_pytorch(m: LearnedOptimizer) -> None:
    theta = {**THETA, "b": jnp.ones(2, jnp.complex64)}
    hint = "is complex64 and must be real; split it into real and imaginary parts"
    assert refusal(m.init, theta) == f"θ['b'] {hint}" or isinstance(m, Partitioned)
    sentence = refusal(m.update, theta, m.init(THETA), THETA)
    assert hint in sentence or isinstance(m, Partitioned)


def test_theta_and_state_may_be_donated(m: LearnedOptimizer) -> None:
    """Every leaf of h₀ lies in memory of its own, apart from θ and φ."""
    for theta in (THETA, {"w": jnp.ones(()), "b": jnp.ones(1)}):
        state = m.init(theta)
        arrays = [x for x in jax.tree.leaves((theta, m, state)) if isinstance(x, jax.Array)]
        places = [x.unsafe_buffer_pointer() for x in arrays if x.size]
        assert len(set(places)) == len(places)

        with warnings.catch_warnings():
            # A sum takes no place of what is donated.
            warnings.simplefilter("ignore")
            jax.jit(total, donate_argnums=(0, 1))(jax.tree.map(jnp.copy, theta), state)


def total(theta: Any, state: Any) -> jax.Array:
    return sum((jnp.sum(x) for x in jax.tree.leaves((theta, state))), jnp.zeros(()))


def test_a_learned_h_0_is_not_phi_itself() -> None:
    class Remembering(LearnedOptimizer):
        start: jax.Array

        def init(self, params: Any) -> Any:
            return self.start, params

        def update(self, updates: Any, state: Any, params: Any = None, **_: Any) -> Any:
            return updates, state

    m, theta = Remembering(jnp.ones(3)), jnp.ones(2)
    start, kept = m.init(theta)
    assert start.unsafe_buffer_pointer() != m.start.unsafe_buffer_pointer()
    assert kept.unsafe_buffer_pointer() != theta.unsafe_buffer_pointer()


def test_a_subclass_may_hand_the_class_above_what_it_likes() -> None:
    class Counting(optimizers()["lstm"]):
        def init(self, params: Any) -> Any:
            return super().init(params), jnp.zeros((), jnp.int32)

        def update(self, updates: Any, state: Any, params: Any = None, **_: Any) -> Any:
            g, h = super().update(updates, state[0], params)
            return g, (h, state[1] + 1)

    m = Counting((2,), key=jax.random.key(0))
    _, state = m.update(THETA, m.init(THETA))
    assert int(m.update(THETA, state)[1][1]) == 2
    assert "lacks the leaf h[1]" in refusal(m.update, THETA, state[:1])


def test_a_state_in_other_containers_is_taken() -> None:
    m = make_optimizer("lstm(layers=(2,))", jax.random.key(0))
    lists = {k: [list(layer) for layer in h] for k, h in m.init(THETA).items()}
    assert m.update(THETA, lists)[0]["w"].shape == (3, 4)


def test_an_init_that_looks_at_numbers_is_not_held_to_its_shapes() -> None:
    class Eager(LearnedOptimizer):
        rate: jax.Array

        def init(self, params: Any) -> Any:
            return jnp.zeros(1 + int(jnp.sum(params) > 0))

        def update(self, updates: Any, state: Any, params: Any = None, **_: Any) -> Any:
            return -self.rate * updates, state

    m = Eager(jnp.ones(()))
    assert m.update(jnp.ones(2), m.init(jnp.ones(2)))[0].tolist() == [-1.0, -1.0]


def test_optax_in_a_partition_may_have_complex_leaves_and_mixed_dtypes() -> None:
    m = make_optimizer(
        "b -> lstm(layers=(2,)) + * -> optax.adam(learning_rate=0.1)", jax.random.key(0)
    )
    theta = {"b": jnp.ones(2), "z": jnp.ones(2, jnp.complex64), "h": jnp.ones(3, jnp.bfloat16)}
    gradient = {**theta, "h": jnp.ones(3)}
    state = m.init(theta)
    for _ in range(2):
        g, state = m.update(gradient, state)
    assert g["z"].dtype == jnp.complex64
