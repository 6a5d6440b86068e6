"""A digest of everything that a problem is, so that what was found out about it is found again."""

import hashlib
import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import equinox as eqx
import jax
import numpy as np

from metadescent.problems.base import Problem


def fingerprint_of(problem: Problem) -> str:
    """Return a digest of the code, in all files that it is in, the options and the data of one."""
    leaves, treedef = jax.tree.flatten(problem)
    # A function is written with its address, which changes from process to process.
    written = re.sub(r" at 0x[0-9a-f]+", "", str(treedef))
    digest = hashlib.sha256(written.encode())
    parts = _parts(problem)
    modules = dict.fromkeys(inspect.getmodule(type(part)) or type(part) for part in parts)
    for module in modules:
        digest.update(inspect.getsource(module).encode())
    functions = [function for part in parts for function in _functions(part)]
    for module in dict.fromkeys(filter(None, map(inspect.getmodule, functions))):
        # What was typed at a prompt has no file; it is in the program all the same.
        with suppress(OSError, TypeError):
            digest.update(inspect.getsource(module).encode())
    # What a function closes over, or reads from elsewhere, is in the program made of it.
    if functions or written != str(treedef):
        digest.update(_program(problem).encode())
    for leaf in leaves:
        if not callable(leaf):
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _parts(tree: Any) -> list[eqx.Module]:
    """Return all modules in a tree, the outer ones first."""
    inner = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, eqx.Module) and x is not tree)
    inner = [
        part for x in inner if isinstance(x, eqx.Module) and x is not tree for part in _parts(x)
    ]
    return [tree, *inner]


def _functions(part: eqx.Module) -> list[Callable[..., Any]]:
    """Return the functions, and whatever else can be called, in the fields of a module."""
    return [leaf for leaf in jax.tree.leaves(list(vars(part).values())) if callable(leaf)]


def _program(problem: Problem) -> str:
    """Return what is computed to draw f and θ₀ and to evaluate f(θ₀), with all constants."""

    def value(problem: Problem, key: Any) -> Any:
        f_key, theta_key, batch_key = jax.random.split(key, 3)
        f = problem.sample(f_key)
        return f.loss(f.init(theta_key), batch_key)

    compiled: Any = eqx.filter_jit(value)
    return compiled.lower(problem, jax.random.key(0)).as_text()
