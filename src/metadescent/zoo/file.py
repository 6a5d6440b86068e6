"""One optimizer as one safe file: φ by path and text metadata in a `.safetensors`.

The file names the optimizer's kind and options. The class comes from the package's own registry, or
from the caller, but never from the file.
"""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from optax import GradientTransformation

from metadescent._errors import UserError, require_kind
from metadescent._spec import Spec, calls, parse
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.horizon import for_steps
from metadescent.optimizers.partitioned import ByHand
from metadescent.registry import make_optimizer, spec_of
from metadescent.zoo import catalogue
from metadescent.zoo.arrays import load_arrays, save_arrays
from metadescent.zoo.cards import FORMAT, read_card


def save(
    path: str | Path, m: LearnedOptimizer, *, optimizer: str | None = None, **card: Any
) -> None:
    """Write an optimizer to one file.

    Arguments:
        path: where; usually ends in `.safetensors`.
        m: the optimizer.
        optimizer: the specification that `load` is to rebuild it from. An optimizer of the package
            has its own; one of a class of yours is named, such as "my_rule.py:Rule(rate=0.1)".
        card: anything JSON can hold that its user should know: what it was trained on, the budget,
            the seed, validation and test figures.

    Raises:
        UserError: if an argument is of another kind, the specification is not known or makes
            another optimizer, JSON cannot hold the card, or the file cannot be written.

    Example:
        >>> import jax, tempfile
        >>> from pathlib import Path
        >>> from metadescent.optimizers.lstm import LSTM
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "m.safetensors"
        ...     save(path, LSTM((4,), key=jax.random.key(0)))
        ...     load(path).layers
        (4,)
    """
    require_kind("path", path, (str, Path), "a path; try 'mine.safetensors'")
    require_kind("m", m, LearnedOptimizer, "a metadescent.LearnedOptimizer; try LSTM(key=key)")
    if optimizer is not None:
        require_kind("optimizer", optimizer, str, "a specification; try 'lstm(layers=(20, 20))'")
    spec = str(spec_of(m)) if optimizer is None else optimizer
    if not _makes(spec, m):
        kind = type(m).__name__
        raise UserError(
            f"no specification makes this {kind}, and {spec!r} makes another; save its rules apart"
            if optimizer is None
            else f"optimizer is {spec!r} and m is {_own(m)}; give what makes m, or leave it out"
        )
    metadata = {**card, "format": FORMAT, "optimizer": spec, "version": version("metadescent")}
    save_arrays(Path(path), eqx.filter(m, eqx.is_array), metadata)


def load(
    name: str | Path, *, steps: float | int | None = None, make: Any = make_optimizer
) -> LearnedOptimizer:
    """Return a pretrained optimizer by name, one of your own by its file or run folder, or a Hub's.

    Arguments:
        name: in the zoo, or a path, or on the Hugging Face Hub: "hf://user/repo" with an
            `optimizer.safetensors`, "hf://user/repo@revision", "hf://user/repo/x.safetensors".
        steps: T, for an optimizer that has a schedule or a clock in parts of a run; what it was
            trained for, or none, if not given.
        make: builds an optimizer from its specification and a key; the package's registry if not
            given. Pass your own to load an optimizer whose class is elsewhere.

    Raises:
        UserError: if the file is missing, truncated, foreign or from a newer format, if a leaf does
            not fit, or if the Hub does not give it; the sentence names it.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = load("quadratic-lstm").as_optax()
        >>> tx.init(jnp.zeros(10))[0][0].shape
        (20, 10)
    """
    path = catalogue.path(name)
    spec = read_card(path)["optimizer"]
    if make is make_optimizer and _is_outside(parse(spec)):
        # The reader may say which code to import; a file may not.
        raise UserError(
            f"{path} holds an optimizer of a class outside the package, {spec}; hand the class in: "
            "metadescent.load(path, make=lambda spec, key: …)"
        )
    # Only shapes are made: until the arrays fit, a file's claims take no memory.
    skeleton = eqx.filter_eval_shape(make, spec, jax.random.key(0))
    arrays, static = eqx.partition(skeleton, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    phi, _ = load_arrays(path, arrays)
    m = eqx.combine(phi, static)
    return m if steps is None else for_steps(m, steps)


def _is_outside(spec: Spec) -> bool:
    return any(":" in call.name for call in calls(spec))


def _makes(text: str, m: LearnedOptimizer) -> bool:
    """Tell whether a specification makes m, apart from its φ."""
    spec = parse(text)
    if _is_outside(spec):
        return True  # a check would have to import it, and it may not be importable here
    made = eqx.filter_eval_shape(lambda key: make_optimizer(spec, key), jax.random.key(0))
    trees = [jax.tree.flatten(x, is_leaf=lambda x: isinstance(x, ByHand)) for x in (made, m)]
    (of_made, form), (of_m, form_of_m) = trees
    return form == form_of_m and all(map(_alike, of_made, of_m))


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, ByHand) and isinstance(b, ByHand):
        # Functions cannot be compared, so Optax's optimizers are compared by their calls, if known.
        known = None not in (a.spec, b.spec)
        return a.spec == b.spec if known else _move_alike(a.rule, b.rule)
    return getattr(a, "shape", a) == getattr(b, "shape", b)


def _move_alike(a: GradientTransformation, b: GradientTransformation) -> bool:
    """Tell whether two rules move θ alike, early and late, or one cannot move it by ∇ alone."""
    theta = {"w": jnp.linspace(-2.0, 3.0, 6).reshape(2, 3), "b": jnp.asarray([0.5, -1.0])}
    seen = []
    for rule in (a, b):
        updates = []
        with suppress(Exception):
            state = rule.init(theta)
            for late in (0, 0, 0, 99, 900, 99_000):
                # Step counters, as of a schedule, are set ahead.
                state = jax.tree.map(lambda x, n=late: x + n if _counts(x) else x, state)
                gradient = jax.tree.map(lambda x, n=late: jnp.sin((5 + n) * x) * 3, theta)
                update, state = rule.update(gradient, state, theta)
                updates.append(update)
        seen.append([np.asarray(x) for x in jax.tree.leaves(updates)])
    pairs = zip(*seen, strict=False)
    return all(x.shape == y.shape and np.array_equal(x, y, equal_nan=True) for x, y in pairs)


def _counts(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.integer)


def _own(m: LearnedOptimizer) -> str:
    try:
        return repr(str(spec_of(m)))
    except UserError:
        return f"another {type(m).__name__}"
