"""A person's data: what comes through as it is, and what is refused rather than lost."""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from metadescent.problems.arrays import as_array, as_arrays, as_labels
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.batch import Batch
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.from_function import FromFunction

MILLISECONDS = 1_700_000_000_000
MEND = "subtract an offset or divide in NumPy first, or set JAX_ENABLE_X64=1"
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.array([2**32 - 1, 0], np.uint64),
        np.array([-(2**31), 2**31 - 1]),
        RNG.normal(size=(5, 2)),
        1e-300 * np.array([1.0, 0.0]) + [0.0, 1.0],  # beside 1 it is nothing
        np.array([np.nan, np.inf, 1.0]),
        0.1 + np.array([0, 1e-17, 3e-17, 0, 0]),  # a constant, and float64's own noise
        np.array([2.0**40, 2.0**40 + 2.0**17]),  # exact in float32
        np.float32([1e8, 1e8 + 8]).astype(float),
        RNG.normal(size=4) + 1j,
        np.ones(3, np.longdouble),
        np.ones(3, ">f8"),
        np.array([1, 2], ">i2"),
        np.array([True, False]),
        np.array([2**24 + 1], np.int32),
        *(np.ones(2, kind) for kind in ("int8", "float16", ml_dtypes.bfloat16)),
        np.ma.masked_array([1.0, 2.0]),
        np.zeros((0, 3)),
        [1, 2],
    ],
    ids=str,
)
def test_what_is_only_rounded_comes_through(value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array = as_array(value, "x")
    wide = np.asarray(value)
    np.testing.assert_allclose(np.asarray(array, wide.dtype), wide, rtol=1e-6, atol=1e-30)


def test_keys_and_what_jax_has_come_through() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    assert as_array(keys, "x") is keys
    assert jax.jit(lambda x: as_arrays([x], "x")[0])(jnp.ones(2)).shape == (2,)


@pytest.mark.usefixtures("in_32_bits")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            np.array([MILLISECONDS, 1]),
            f"x is int64 and holds {MILLISECONDS}, which becomes -807049216 in JAX's int32; {MEND}",
        ),
        (
            np.array([-(2**40), 1]),
            f"x is int64 and holds {-(2**40)}, which becomes 0 in JAX's int32; {MEND}",
        ),
        (
            np.array([2**63 + 1], np.uint64),
            f"x is uint64 and holds {2**63 + 1}, which becomes 1 in JAX's uint32; {MEND}",
        ),
        (
            np.array([1.0, -1e300]),
            f"x is float64 and holds ±1e+300, which is inf in JAX's float32; {MEND}",
        ),
        (
            MILLISECONDS + 1000.0 * np.arange(60),
            "x is float64 and runs from 1700000000000.0 to 1700000059000.0, where JAX's float32 "
            f"has steps of 131072.0; {MEND}",
        ),
        (
            np.array([1e-300, 2e-300]),
            "x is float64 and runs from 1e-300 to 2e-300, where JAX's float32 has steps of "
            f"{np.float32(1e-45)}; {MEND}",
        ),
        (
            np.array([1 + 1e300j]),
            f"x is complex128 and holds ±1e+300, which is inf in JAX's float32; {MEND}",
        ),
        (
            np.ma.masked_array([1.0, 2.0], [True, False]),
            "x is masked and would lose its mask; try x.filled(0)",
        ),
        (
            np.ma.masked_array(np.zeros(2, "f4,i4"), [True, False]),
            "x is masked and would lose its mask; try x.filled(0)",
        ),
        (
            np.array(["a", "b"]),
            "x is of dtype <U1 and must be an array of numbers; leave it out or try "
            "numpy.unique(…, return_inverse=True)[1]",
        ),
        (
            np.array(["2020-01-01"], "datetime64[D]"),
            "x is of dtype datetime64[D] and must be an array of numbers; subtract the first and "
            "divide by numpy.timedelta64(1, 's')",
        ),
        (
            np.array([1], "timedelta64[s]"),
            "x is of dtype timedelta64[s] and must be an array of numbers; divide by "
            "numpy.timedelta64(1, 's')",
        ),
        (
            np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]),
            "x is of dtype [('a', '<i4'), ('b', '<f4')] and must be an array of numbers; give its "
            "fields as a dict of arrays",
        ),
        (
            np.array([np.ones(2), np.ones(3)], object),
            "x is of dtype object and must be an array of numbers; try numpy.array(…, float), and "
            "lists of one length",
        ),
        (
            {1, 2},
            "x is {1, 2} and must be an array of numbers; try numpy.array(…, float), and lists of "
            "one length",
        ),
    ],
    ids=lambda value: str(getattr(value, "dtype", ""))[:12],
)
def test_what_would_be_lost_is_refused_in_a_sentence(
    value: Any, expected: str, sentence: Callable
) -> None:
    assert sentence(as_array, value, "x") == expected


@pytest.mark.usefixtures("in_32_bits")
def test_a_column_counts_by_itself() -> None:
    with pytest.raises(Exception, match="has steps of 131072"):
        as_array(np.stack([MILLISECONDS + np.arange(60.0), np.arange(60.0) * 1e20], -1), "x")


def test_with_64_bits_nothing_is_lost() -> None:
    with jax.enable_x64(True):
        for value in (np.array([MILLISECONDS]), np.array([1e300]), MILLISECONDS + np.arange(9.0)):
            np.testing.assert_array_equal(as_array(value, "x"), value)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no wider floats")
def test_beyond_64_bits_none_are_advised(sentence: Callable) -> None:
    with jax.enable_x64(True):
        assert sentence(as_array, np.array(["1e400"], np.longdouble), "x") == (
            "x is float128 and holds ±1e+400, which is inf in JAX's float64; subtract an offset or "
            "divide in NumPy first"
        )


@pytest.mark.usefixtures("in_32_bits")
def test_a_tensor_of_pytorch_is_an_array_or_a_sentence(sentence: Callable) -> None:
    torch = pytest.importorskip("torch")
    assert as_array(torch.ones(2), "x").tolist() == [1, 1]
    assert sentence(as_array, torch.ones(2, requires_grad=True), "x").startswith(
        "x is a Tensor and cannot be an array: Can't call numpy() on Tensor that requires grad"
    )
    assert "which becomes -807049216" in sentence(as_array, torch.tensor([MILLISECONDS]), "x")


@pytest.mark.usefixtures("in_32_bits")
def test_data_names_the_leaf(sentence: Callable) -> None:
    def loss(theta: jax.Array, key: jax.Array, entry: Any) -> jax.Array:
        return jnp.sum((theta - entry["a"]["time"]) ** 2)

    data = {"a": {"time": np.array([MILLISECONDS, 0])}}
    assert sentence(FromFunction, loss, lambda key: jnp.ones(2), data).startswith(
        f"data['a']['time'] is int64 and holds {MILLISECONDS}, "
    )


class Held(Problem):
    x: Any
    note: Any = "anything"

    def sample(self, key: jax.Array) -> Optimizee:
        return Line(self.x)


class Line(Optimizee):
    x: Any

    def init(self, key: jax.Array) -> jax.Array:
        return jnp.zeros(2)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.sum((theta - self.x) ** 2)


class Late(Problem):
    """Its data enter where f is drawn, within a compiled program."""

    def sample(self, key: jax.Array) -> Optimizee:
        return Line(np.array([MILLISECONDS, 0]))


@pytest.mark.usefixtures("in_32_bits")
def test_a_field_of_a_class_of_ones_own_is_data_too(sentence: Callable) -> None:
    lost = f"is int64 and holds {MILLISECONDS}, which becomes"
    assert sentence(Held, np.array([MILLISECONDS, 0])).startswith(f"Held.x {lost}")
    assert sentence(Held, {"t": np.int64(MILLISECONDS)}).startswith(f"Held.x['t'] {lost}")
    drawn = eqx.filter_jit(lambda key: Batch.sample(Late(), key, 2))
    assert sentence(drawn, jax.random.key(0)).startswith(f"Line.x {lost}")
    assert "must be an array of numbers" in sentence(Held, np.array([None, 1]))
    fs = Batch.sample(Held(np.ones(2)), jax.random.key(0), 3)
    assert fs.loss(jnp.ones((3, 2)), jax.random.key(1)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("labels", [np.array([0.0, 1.0]), np.array([-1, 0])])
def test_labels_are_whole_numbers_from_0_on(labels: np.ndarray, sentence: Callable) -> None:
    assert sentence(MLPClassification, np.zeros((2, 3), np.uint8), labels) == (
        f"labels are {as_array(labels, 'x').dtype} from {labels.min()} to {labels.max()} and must "
        "be whole numbers from 0 on; try numpy.unique(labels, return_inverse=True)[1]"
    )
    assert as_labels(np.array([0, 2], np.uint8), "labels").tolist() == [0, 2]
