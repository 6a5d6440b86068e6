"""The floor of a meta-step: its matrix products and transcendental functions, each alone.

Each is one XLA operation at its true shape in a compiled loop; their times are added up. What the
floor leaves out is everything else: sums, gates, reading and writing of what the operations do not
share, and the optimizee's own activations. XLA cannot run them faster one by one; code that fuses
them, or that has a faster tanh, can fall below.

In every repetition an input depends on the output before, so none can be moved out of the loop or
left out; `scaling` is the time of twice as many repetitions over that of once as many, and is 2
where they are what takes the time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from cases import Case
from timing import median, seconds_of

from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic

MATRIX = 2048
COPY_FLOATS = 64 * 2**20


class Operation(NamedTuple):
    """One operation, how many there are of it in a step of the rule or of the optimizee."""

    name: str
    body: Callable[[Any], Any]
    inputs: tuple[Any, ...]
    count: int
    optimizee: bool = False


class Floor:
    """The operations of a case, compiled; `measure` times each of them once.

    With `block`, the rule's operations are those of as many coordinates, as often as blocks go into
    all of them: a stricter floor where whole rows do not fit the cache.
    """

    def __init__(self, case: Case, coordinates: int, block: int | None = None):
        self.case = case
        width = block or coordinates
        self.blocks = coordinates / width
        self.operations = rule_operations(case, width) + optimizee_operations(case)
        # As many repetitions as make the cost of starting a program small, within reason.
        self.repetitions = min(200, max(4, 800_000 // width))
        self.loops = [compiled_loop(op) for op in self.operations]
        for loop in self.loops:
            loop(1)

    def measure(self, repetitions: int | None = None) -> dict[str, float]:
        """Return the seconds of one meta-step's worth of each operation."""
        times = self.repetitions if repetitions is None else repetitions
        result: dict[str, float] = {}
        for op, loop in zip(self.operations, self.loops, strict=True):
            # The optimizee is evaluated once more than the rule, at θ_T, and not block by block.
            runs = self.case.steps + 1 if op.optimizee else self.case.steps * self.blocks
            seconds = seconds_of(lambda loop=loop: loop(times))
            result[op.name] = seconds / times * runs * op.count
        return result

    def scaling(self) -> float:
        """Return the time of twice the repetitions over that of the usual ones."""
        once = [sum(self.measure().values()) for _ in range(3)]
        twice = [2 * sum(self.measure(2 * self.repetitions).values()) for _ in range(3)]
        return median(twice) / median(once)


def compiled_loop(op: Operation) -> Callable[[int], Any]:
    """Return a function of the number of repetitions that runs them in one program."""

    def run(repetitions: Any, carry: Any) -> Any:
        return jax.lax.fori_loop(0, repetitions, lambda _, carry: op.body(carry), carry)

    program = jax.jit(run, donate_argnums=1)
    state = op.inputs

    def loop(repetitions: int) -> Any:
        nonlocal state
        state = jax.block_until_ready(program(repetitions, state))
        return state

    return loop


def rule_operations(case: Case, n: int) -> list[Operation]:
    """Return what one step of the LSTM takes, forward and backward, on n coordinates."""
    features = 1 if case.m.p is None else 2
    result = []
    for layer, units in enumerate(case.m.layers, 1):
        gates, inputs = 4 * units, features + units
        back = units if layer == 1 else inputs  # nothing is asked of ∇, so only h of layer 1
        result += [
            product(f"W{layer} x", (gates, inputs), (inputs, n)),
            product(f"W{layer}ᵀ z", (back, gates), (gates, n)),
            product(f"z{layer} xᵀ", (gates, n), (n, inputs), transposed=True),
            pointwise(f"σ, layer {layer}", jax.nn.sigmoid, (3 * units, n), 1),
            pointwise(f"tanh, layer {layer}", jnp.tanh, (units, n), 2),
        ]
        features = units
    result += [
        product("w h", (1, features), (features, n)),
        product("wᵀ g", (features, 1), (1, n)),
        product("h gᵀ", (features, n), (n, 1)),
    ]
    if case.m.p is not None:
        result.append(pointwise("log", jnp.log, (n,), 1))
    return result


def optimizee_operations(case: Case) -> list[Operation]:
    """Return the products of one loss and gradient of the optimizee."""
    size, problem = case.num_problems, case.problem
    if isinstance(problem, Quadratic):
        n = problem.dimension
        shapes = {"f: W θ": ((n, n), (n, 1)), "∇f: Wᵀ r": ((n, n), (n, 1))}
    elif isinstance(problem, MLPClassification):
        batch, (inputs, hidden, outputs) = problem.f.batch_size, problem.f.widths
        shapes = {
            "f: x W": ((batch, inputs), (inputs, hidden)),
            "f: a V": ((batch, hidden), (hidden, outputs)),
            "∇f: xᵀ δ": ((inputs, batch), (batch, hidden)),
            "∇f: aᵀ ε": ((hidden, batch), (batch, outputs)),
            "∇f: ε Vᵀ": ((batch, outputs), (outputs, hidden)),
        }
    else:
        return []
    batched = (size,) if size > 1 else ()
    return [
        product(name, (*batched, *left), (*batched, *right))._replace(optimizee=True)
        for name, (left, right) in shapes.items()
    ]


def product(
    name: str, left: tuple[int, ...], right: tuple[int, ...], *, transposed: bool = False
) -> Operation:
    """Return the product of two matrices, or of as many as there are in a batch.

    With `transposed` the right one lies in memory the other way round, as x does in z xᵀ.
    """
    rng = np.random.default_rng(0)
    stored = (*right[:-2], right[-1], right[-2]) if transposed else right
    a, b = (
        jnp.asarray(rng.standard_normal(shape, np.float32) / np.sqrt(shape[-1]))
        for shape in (left, stored)
    )
    out = jnp.zeros((*left[:-1], right[-1]))

    def body(carry: Any) -> Any:
        a, b, _ = carry
        # The barrier makes the next input wait for this output, and moves no data.
        a, out = jax.lax.optimization_barrier((a, a @ (b.mT if transposed else b)))
        return a, b, out

    return Operation(name, body, (a, b, out), 1)


def pointwise(
    name: str, function: Callable[[Any], Any], shape: tuple[int, ...], count: int
) -> Operation:
    """Return a function of every element of an array, written where it was read."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))
    return Operation(name, lambda carry: (function(carry[0]),), (x,), count)


class Machine:
    """What the machine can do: large matrix products, and reading and writing memory."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        matrix = jnp.asarray(rng.standard_normal((MATRIX, MATRIX), np.float32) / np.sqrt(MATRIX))
        square = Operation("", lambda c: (c[0], c[0] @ c[1]), (matrix, matrix + 0.0), 1)
        copy = Operation("", lambda c: (c[0] + 1.0,), (jnp.zeros(COPY_FLOATS),), 1)
        self.square, self.copy = compiled_loop(square), compiled_loop(copy)
        self.rates()

    def rates(self) -> dict[str, float]:
        """Return FLOP/s of a 2048² product, and bytes/s of reading and writing 256 MiB in place."""
        products, copies = 2, 8
        seconds = seconds_of(lambda: self.square(products))
        copying = seconds_of(lambda: self.copy(copies))
        return {
            "flops": products * 2 * MATRIX**3 / seconds,
            "bytes": copies * 2 * 4 * COPY_FLOATS / copying,
        }
