"""States, data and files that do not fit are refused in a sentence, or accepted as they are."""

import functools
import os
import random
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from places import sentence

from metadescent import FromFunction, LearnedOptimizer
from metadescent._errors import UserError
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_optimizer, make_problem, optimizers
from metadescent.runs.folder import claim
from metadescent.runs.origin import SETTINGS, check_origin, origin_of
from metadescent.runs.recipe import Recipe

CHAINS = (
    "* -> lstm",
    "lstm >> pace",
    "lstm >> relative",
    "b -> lstm + * -> optax.adam(learning_rate=0.1)",
)
NUMBERS = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "longdouble", "complex64", "complex128"),
    *(">i4", ">f8", ">u2", "bfloat16", "float8_e4m3fn", "int4"),
)
OTHERS = ("U3", "S2", "datetime64[s]", "timedelta64[ms]", "O", "f4,i4", "V5")
FLOATS = (jnp.float32, jnp.float16, jnp.bfloat16)


@functools.cache
def rule(name: str) -> LearnedOptimizer:
    """Return a rule with its φ₀."""
    return make_optimizer(name, jax.random.key(0))


def tree(chance: random.Random) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of a θ."""
    names = chance.sample("wbvk", chance.randrange(1, 4))
    dtype = chance.choice((jnp.float32, jnp.float32, *FLOATS))
    shapes = ((), (1,), (2,), (3, 4), (4, 3), (12,), (2, 2, 3), (40,), (0,))
    return {name: jax.ShapeDtypeStruct(chance.choice(shapes), dtype) for name in names}


def state_in_jax(place: Path, chance: random.Random) -> str:
    """Hand a rule the state of another θ, or its own."""
    del place
    m = rule(chance.choice((*optimizers(), *CHAINS)))
    theta = tree(chance)
    other = chance.choice((theta, tree(chance), {k: _turned(x) for k, x in theta.items()}))
    try:
        state = jax.eval_shape(m.init, other)
        own = jax.eval_shape(m.init, theta)
    except UserError as error:
        return sentence(error)
    try:
        g, after = jax.eval_shape(m.update, theta, state, theta)
    except UserError as error:
        # Two θ of the same leaves have the same states; then nothing is there to be refused.
        return sentence(error) or ("its own state is refused" if _same(own, state) else "")
    if not _same(own, state):
        return f"{m} took the state of {other} for {theta}"
    if not _same(after, state) or {k: x.shape for k, x in g.items()} != {
        k: x.shape for k, x in theta.items()
    }:
        return f"{m} returned {g} and {after} for {theta}"
    return ""


def _turned(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape[::-1], x.dtype)


def _same(a: Any, b: Any) -> bool:
    """Tell whether states agree in leaves and shapes."""
    (a, of_a), (b, of_b) = map(jax.tree.flatten, (a, b))
    return of_a == of_b and [x.shape for x in a] == [x.shape for x in b]


def data_of_a_dtype(place: Path, chance: random.Random) -> str:
    """Make a family out of data of any dtype and shape; it has the same values, or is refused."""
    del place
    data = {key: _array(chance) for key in chance.sample("xyz", chance.choice((1, 1, 2)))}
    try:
        f = FromFunction(_loss, lambda key: jnp.ones(2), data)
    except UserError as error:
        return sentence(error)
    for key, x in data.items():
        took = np.asarray(f.f.data[key])
        values = np.asarray(x)
        if values.dtype.kind in "biu" and not np.array_equal(values, took):
            return f"{values} became {took}"
        if values.dtype.kind in "fc":
            near = np.isclose(values, took.astype(values.dtype), rtol=2e-3, equal_nan=True)
            if not near.all():
                return f"{values[~near]} of {values.dtype} became {took[~near]}"
    return ""


def _array(chance: random.Random) -> Any:
    dtype = np.dtype(chance.choice((*NUMBERS, *NUMBERS, *OTHERS)))
    shape = chance.choice(((), (0,), (3,), (3,), (3, 2), (4, 2), (3, 0), (2, 3, 2)))
    draw = np.random.default_rng(chance.getrandbits(32))
    scale = chance.choice((1.0, 1.0, 1e3, 1e10, 1e300))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            array = np.array(scale * draw.normal(size=shape)).astype(dtype)
        except (TypeError, ValueError):
            array = np.zeros(shape, dtype)
    for change in (np.transpose, np.flip, np.asfortranarray, masked):
        if chance.random() < 0.1 and array.ndim:
            array = change(array)
    if chance.random() < 0.1:
        return array.tolist()
    if chance.random() < 0.1 and isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def masked(array: np.ndarray) -> np.ndarray:
    """Return an array of which the first entry is masked."""
    mask = np.zeros(array.shape, bool)
    mask[:1] = True
    return np.ma.masked_array(array, mask)


def _loss(theta: Any, key: Any, entry: Any) -> jax.Array:
    del key
    parts = [jnp.sum(jnp.real(x.astype(jnp.complex64))) for x in jax.tree.leaves(entry)]
    return jnp.sum(theta**2) * sum(parts)


CODE = """import jax.numpy as jnp
from metadescent import FromFunction
SCALE = {scale}  # {comment}
def bowls(size=2):
    tasks = jnp.linspace({low}, 4.0, 3)
    def loss(theta, key, c):
        {name} = SCALE * jnp.sum((theta - c) {operator} 2)
        return {name}
    return FromFunction(loss, lambda key: jnp.ones(size), tasks)
"""


def problem_changed(place: Path, chance: random.Random) -> str:
    """Change the file of a problem before a run goes on: refused where f or its data are others."""
    path, here = place / "mine.py", Path.cwd()
    parts = {"scale": 2.0, "comment": "a", "low": 1.0, "name": "value", "operator": "**"}
    alike = {"comment": chance.choice(("b", "θ", "")), "name": chance.choice(("v", "f", "out"))}
    others = {
        "scale": chance.choice((2.5, -2.0, 1e-3)),
        "low": chance.choice((0.5, 2.0)),
        "operator": chance.choice(("*", "+")),
    }
    change = {k: v for k, v in alike.items() if chance.random() < 0.5}
    if is_other := chance.random() < 0.6:
        change |= dict(chance.sample(list(others.items()), chance.randrange(1, 4)))
    os.chdir(place)
    try:
        m = LSTM((1,), key=jax.random.key(0))
        path.write_text(CODE.format(**parts), encoding="utf-8")
        before = origin_of(make_problem("mine.py:bowls"), m)
        claim(Path("r"), "mine.py:bowls", Recipe(), False, before)
        path.write_text(CODE.format(**parts | change), encoding="utf-8")
        check_origin(Path("r"), origin_of(make_problem("mine.py:bowls"), m))
    except UserError as error:
        return sentence(error) or ("" if is_other else f"{change} is refused: {error}")
    finally:
        os.chdir(here)
    return f"{change} is not seen" if is_other else ""


CHANGES = {
    "jax_enable_x64": (False, True),
    "jax_default_prng_impl": ("threefry2x32", "rbg", "unsafe_rbg"),
    "jax_threefry_partitionable": (True, False),
    "jax_random_seed_offset": (0, 7),
    "jax_default_matmul_precision": (None, "float32", "bfloat16"),
}


def settings_changed(place: Path, chance: random.Random) -> str:
    """Change what JAX is told before a run goes on: refused, and the sentence names it."""
    m, problem = LSTM((1,), key=jax.random.key(0)), Quadratic()
    was = {name: getattr(jax.config, name) for name in SETTINGS}
    names = chance.sample(list(CHANGES), chance.randrange(3))
    claim(place / "r", "quadratic", Recipe(), False, origin_of(problem, m))
    try:
        for name in names:
            jax.config.update(name, chance.choice([x for x in CHANGES[name] if x != was[name]]))
        check_origin(place / "r", origin_of(problem, m))
    except UserError as error:
        is_named = any(name in str(error) for name in names)
        return sentence(error) or ("" if is_named else f"{names}: {error}")
    finally:
        for name, value in was.items():
            jax.config.update(name, value)
    return f"{names} are not seen" if names else ""
