"""The door of every optimizer: `update` checks that ∇, h and θ fit, and h₀ has its own memory.

An h for θ of other shapes would be broadcast by JAX, and a kernel would overrun it. It is therefore
compared with what `init` returns for θ of the gradient's shapes. Only shapes are computed, once for
each, so a compiled program pays nothing, and a step outside of one pays some microseconds.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import PyTree

from metadescent._errors import UserError
from metadescent.optimizers.sharding import on_its_mesh

Leaf = tuple[tuple[int, ...], Any]
"""The shape and dtype of a leaf; the dtype is None if it follows θ's."""


class Form(NamedTuple):
    """A pytree without its numbers."""

    treedef: Any
    leaves: tuple[Any, ...]

    def shapes(self) -> PyTree:
        """Return the pytree with shapes and dtypes in place of arrays."""
        return self.treedef.unflatten(
            jax.ShapeDtypeStruct(*x) if isinstance(x, tuple) else x for x in self.leaves
        )


def guarded_init(init: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Return `init` with a check that θ is real; h₀ has memory of its own, on θ's mesh."""

    @functools.wraps(init)
    def begin(m: Any, params: PyTree) -> PyTree:
        if not m.takes_complex and any(map(_is_complex, jax.tree.leaves(params))):
            raise _refusal(params, "θ", _is_complex)
        return on_its_mesh(_apart(init(m, params), (m, params)), params)

    return begin


def guarded_update(update: Callable[..., Any]) -> Callable[..., Any]:
    """Return `update` with a check that ∇, h and θ fit each other."""

    @functools.wraps(update)
    def move(m: Any, updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: Any):
        with _inside(m) as is_inside:
            # A subclass may give its superclass another h than its own `init` returns.
            if not is_inside:
                state = _fitting(m, updates, state, params)
            return update(m, updates, state, params, **extra)

    return move


_rules = threading.local()


@contextmanager
def _inside(m: Any) -> Iterator[bool]:
    """Tell whether this thread is within an update of m; in the context it is."""
    around: list[Any] = _rules.__dict__.setdefault("around", [])
    is_inside = any(rule is m for rule in around)
    around.append(m)
    try:
        yield is_inside
    finally:
        around.pop()


def _fitting(m: Any, updates: PyTree, state: PyTree, params: PyTree | None) -> PyTree:
    """Return h, in the containers of h₀, after checking that everything fits."""
    given, treedef = jax.tree.flatten(updates)
    if not m.takes_complex and not all(map(_is_floating, given)):
        raise _refusal(updates, "the gradient", lambda leaf: not _is_floating(leaf))
    if params is not None and jax.tree.structure(params) == treedef:
        of_theta = jax.tree.leaves(params)
        for i, (leaf, x) in enumerate(zip(given, of_theta, strict=True)):
            if jnp.shape(leaf) != jnp.shape(x):
                raise UserError(
                    f"θ{list(_by_path(params))[i]} has the shape {jnp.shape(x)} and its gradient "
                    f"{jnp.shape(leaf)}; pass the θ that the gradient is of"
                )
    expected = _begun(m, Form(treedef, tuple(map(_leaf, given))))
    return state if expected is None else _with_leaves(state, *expected)


def _with_leaves(state: PyTree, treedef: Any, expected: dict[str, Leaf]) -> PyTree:
    """Return h in these containers; raise a UserError unless it has these leaves."""
    leaves, own = jax.tree.flatten(state)
    if own == treedef and all(map(_fits, leaves, expected.values())):
        return state
    given = _by_path(state)
    hint = "begin with init(θ) for this θ"
    for path in [*expected, *given]:
        if path not in given:
            raise UserError(f"the state lacks the leaf h{path} of this optimizer and θ; {hint}")
        if path not in expected:
            raise UserError(
                f"the state has a leaf h{path}, which this optimizer has not for this θ; {hint}"
            )
        if not _fits(given[path], expected[path]):
            (shape, dtype), (its_shape, its_dtype) = _leaf(given[path]), expected[path]
            raise UserError(
                f"the state h{path} is {dtype}{list(shape)} and must be "
                f"{its_dtype or dtype}{list(its_shape)} for a gradient of this shape; {hint}"
            )
    # A checkpoint may have turned tuples into lists.
    return treedef.unflatten(given[path] for path in expected)


def _fits(leaf: Any, expected: Leaf) -> bool:
    (shape, dtype), (its_shape, its_dtype) = _leaf(leaf), expected
    floats = its_dtype is None and jnp.issubdtype(dtype, jnp.inexact)
    return shape == its_shape and (floats or dtype == its_dtype)


def _begun(m: Any, theta: Form) -> tuple[Any, dict[str, Leaf]] | None:
    """Return the structure and the leaves of h₀, by path; None if `init` cannot be traced."""
    parts, treedef = jax.tree.flatten(m)
    form = Form(treedef, tuple(_leaf(x) if eqx.is_array(x) else x for x in parts))
    try:
        hash(form)
    except TypeError:
        return _traced(form, theta, None)
    # With 64 bits JAX's dtypes are different, so the cache depends on the dtype of floats.
    return _remembered(form, theta, jnp.result_type(float))


def _traced(m: Form, theta: Form, widest: Any) -> tuple[Any, dict[str, Leaf]] | None:
    del widest
    # A θ of another dtype shows which leaves of h follow θ's dtype and which have their own.
    other = theta._replace(leaves=tuple((shape, _another(dtype)) for shape, dtype in theta.leaves))
    try:
        h, again = (
            eqx.filter_eval_shape(lambda m, theta: m.init(theta), m.shapes(), x.shapes())
            for x in (theta, other)
        )
        pairs = zip(_by_path(h).items(), jax.tree.leaves(again), strict=True)
        leaves = {k: (x.shape, x.dtype if x.dtype == y.dtype else None) for (k, x), y in pairs}
    except UserError:
        raise
    except Exception:  # A user's `init` may look at numbers, and has none here.
        return None
    return jax.tree.structure(h), leaves


_remembered = functools.lru_cache(maxsize=256)(_traced)


def _another(dtype: Any) -> Any:
    """Return another floating-point dtype; a dtype of another kind is returned as it is."""
    if not jnp.issubdtype(dtype, jnp.floating):
        return dtype
    return jnp.dtype(jnp.bfloat16 if dtype == jnp.float32 else jnp.float32)


def _leaf(x: Any) -> Leaf:
    # The general form takes twenty times as long, and is only for leaves that are not JAX arrays.
    return (x.shape, x.dtype) if isinstance(x, jax.Array) else (jnp.shape(x), jnp.result_type(x))


_is_kind = functools.cache(jnp.issubdtype)


def _is_floating(x: Any) -> bool:
    return _is_kind(_leaf(x)[1], jnp.floating)


def _is_complex(x: Any) -> bool:
    return _is_kind(_leaf(x)[1], jnp.complexfloating)


def _by_path(tree: PyTree) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(keys): leaf for keys, leaf in leaves}


def _refusal(tree: PyTree, what: str, is_wrong: Callable[[Any], bool]) -> UserError:
    """Return the sentence for the first leaf of a dtype that rules do not compute in."""
    path, leaf = next((path, leaf) for path, leaf in _by_path(tree).items() if is_wrong(leaf))
    must = "floating-point; try jnp.float32"
    if _is_complex(leaf):
        must = "real; split it into real and imaginary parts"
    return UserError(f"{what}{path} is {_leaf(leaf)[1]} and must be {must}")


def _apart(state: PyTree, others: PyTree) -> PyTree:
    """Return h with leaves that share no memory with each other or `others`, for donation."""
    taken = {_place(x) for x in jax.tree.leaves(others) if isinstance(x, jax.Array)}

    def own(x: Any) -> Any:
        if not isinstance(x, jax.Array):
            return x
        x = jnp.copy(x) if _place(x) in taken else x
        taken.add(_place(x))
        return x

    return jax.tree.map(own, state)


def _place(x: jax.Array) -> int:
    """Return the address of an array's memory, or the identity of a tracer."""
    if isinstance(x, jax.core.Tracer) or x.is_deleted():
        return id(x)
    try:
        return x.addressable_data(0).unsafe_buffer_pointer()
    except (AttributeError, NotImplementedError, ValueError, RuntimeError):  # keys; no memory here
        return id(x)
