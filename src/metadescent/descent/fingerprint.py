"""Digests of a problem and a rule, so that results that are kept are not used for others."""

import hashlib
import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from metadescent.descent.episode import draw
from metadescent.descent.outside import functions_of, modules_in, outsiders
from metadescent.descent.unrolling import rule_for, start
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


def fingerprint_of(problem: Problem) -> str:
    """Return a digest of a problem: its code in all of its files, its options and its data."""
    treedef = str(jax.tree.structure(problem))
    # A function is printed with its address, which changes from process to process.
    written = _without_addresses(treedef)
    digest = hashlib.sha256(written.encode())
    parts = modules_in(problem)
    functions = [function for part in parts for function in functions_of(part)]
    for module in dict.fromkeys(map(inspect.getmodule, [*map(type, parts), *functions])):
        # Code that was typed at a prompt has no file, but is in the program below.
        with suppress(OSError, TypeError):
            digest.update(inspect.getsource(module).encode() if module else b"")
    # The program has the values that a function closes over or reads from elsewhere.
    if functions or written != treedef or any(outsiders(problem)):
        digest.update(_program(_value, problem).encode())
    digest.update(_data(problem))
    return digest.hexdigest()


def identity_of(
    problem: Problem, m: LearnedOptimizer, **functions: Callable[..., Any]
) -> dict[str, str]:
    """Return digests of a problem's data and, if they are from outside, of f and of the rule m.

    Each of `functions`, called with a key, the problem and m, has a digest under its name. Digests
    are of programs, not of files, so a comment does not change f.
    """
    identity = {"data": _data(problem).hex()}
    if any(outsiders(problem)):
        identity["f"] = hashlib.sha256(_program(_value, problem).encode()).hexdigest()
    if any(outsiders(m)):
        identity["m"] = hashlib.sha256(_program(_update, problem, m).encode()).hexdigest()
    for name, function in functions.items():
        program = _program(function, problem, m)
        identity[name] = hashlib.sha256(program.encode()).hexdigest()
    return identity


def digest_of_rule(m: LearnedOptimizer) -> str:
    """Return a digest of a rule's options and of φ; its code is not part of it."""
    digest = hashlib.sha256(_without_addresses(str(jax.tree.structure(m))).encode())
    digest.update(_data(m))
    return digest.hexdigest()


def _data(problem: PyTree) -> bytes:
    """Return a digest of the leaves of a problem or a rule; what is no array as it is written."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(problem):
        if not eqx.is_array(leaf) and not isinstance(leaf, np.ndarray | np.generic):
            digest.update(_without_addresses(repr(leaf)).encode())
            continue
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(jnp.asarray(leaf))
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.digest()


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _program(function: Callable[..., Any], *arguments: Any) -> str:
    """Return the program of a function, with all constants."""
    compiled: Any = eqx.filter_jit(function)
    return compiled.lower(jax.random.key(0), *arguments).as_text()


def _value(key: PRNGKeyArray, problem: Problem) -> PyTree:
    """Draw f and θ₀, and return f(θ₀) and ∇f(θ₀)."""
    f_key, theta_key, batch_key = jax.random.split(key, 3)
    f = problem.sample(f_key)
    return jax.value_and_grad(lambda theta: f.loss(theta, batch_key))(f.init(theta_key))


def _update(key: PRNGKeyArray, problem: Problem, m: LearnedOptimizer) -> PyTree:
    """Return the first update, for gradients that equal θ₀."""
    fs, keys = draw(problem, key, 1)
    theta, state, _ = start(m, fs, keys.theta)
    return rule_for(m, fs).update(theta, state, theta)
