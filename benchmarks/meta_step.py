"""The forms of one meta-step in JAX, from the plain one to the one that meta-training uses.

    textbook      the unrolled loss as one writes it down, through `equinox.nn.LSTMCell` under
                  `vmap`, differentiated automatically, every intermediate value kept
    rows          the same with our cell in plain JAX: features × coordinates, all coordinates in
                  one row, the derivative of its gates written out
    recomputed    `unroll`: the rule recomputed on the way back, ∇_t taken from the forward pass
    two-phase     `meta_loss`: the meta-gradient block by block of coordinates
    …, in JAX     two-phase without the kernel in C++
    sampled       `meta_loss` from 2048 coordinates: another, unbiased estimate at a lower price

All but the last compute the same L and the same dL/dφ, and each returns the trajectory to go on
from. `textbook` and `rows` are both "plain autodiff"; a reader may mean either. The others use our
kernel where there is one.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple
from unittest.mock import patch

import equinox as eqx
import jax
import optax
from cases import Case
from jax.flatten_util import ravel_pytree

from metadescent import _ffi
from metadescent.descent.episode import draw, start_batch
from metadescent.descent.unrolling import Trajectory, unroll
from metadescent.meta.loss import meta_loss
from metadescent.optimizers.lstm import LSTM, stack
from metadescent.optimizers.preprocess import log_and_sign

SAMPLE = 2048


class Form(NamedTuple):
    """One way to compute a meta-step: where a segment begins, and its meta-loss.

    `native` forms use the kernel in C++ where the machine has one.
    """

    start: Callable[[Case], Trajectory]
    loss: Callable[..., tuple[Any, Trajectory]]
    native: bool = True


def rows(m: LSTM, gradient: Any, state: Any) -> Any:
    """Run our cell in plain JAX."""
    return stack(m, m.features(gradient), state)


def start_rows(case: Case) -> Trajectory:
    """Begin with h as features × all coordinates of all leaves."""
    begin = start_batch(case.m, case.problem, case.key, case.num_problems)
    return begin._replace(state=case.m.ravel_state(begin.theta, begin.state))


def start_textbook(case: Case) -> Trajectory:
    """Begin with h as coordinates × features."""
    begin = start_rows(case)
    return begin._replace(state=jax.tree.map(lambda h: h.T, begin.state))


def textbook_rule(m: LSTM, gradient: Any, state: Any) -> Any:
    """Run one coordinate after the other through the cells, as far as the reader can see."""

    def coordinate(gradient: Any, state: Any) -> Any:
        x = gradient[None] if m.p is None else log_and_sign(gradient, m.p)
        new = []
        for cell, h_and_c in zip(m.cells, state, strict=True):
            x, c = cell(x, h_and_c)
            new.append((x, c))
        return m.scale * m.output(x)[0], tuple(new)

    return jax.vmap(coordinate)(gradient, state)


def plain(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return the unrolled losses as they stand, with ∇_t detached; nothing is recomputed."""

    def loss(m: LSTM, case: Case, problem: Any, begin: Trajectory, key: Any) -> Any:
        fs, keys = draw(problem, key, case.num_problems)

        def step(carry: Trajectory, _: None) -> tuple[Trajectory, Any]:
            theta, state, t = carry
            step_key = jax.random.fold_in(keys.minibatch, t)

            def total(theta: Any) -> Any:
                losses = fs.loss(theta, step_key)
                return losses.sum(), losses

            gradient, losses = jax.grad(total, has_aux=True)(theta)
            row, unravel = ravel_pytree(jax.lax.stop_gradient(gradient))
            g, state = rule(m, row, state)
            return Trajectory(optax.apply_updates(theta, unravel(g)), state, t + 1), losses

        end, losses = jax.lax.scan(step, begin, length=case.steps)
        last = fs.loss(end.theta, jax.random.fold_in(keys.minibatch, end.step))
        return losses[1:].sum(0).mean() + last.mean(), end

    return loss


def recomputed(m: LSTM, case: Case, problem: Any, begin: Trajectory, key: Any) -> Any:
    """Recompute the rule on the way back, and take ∇_t from the forward pass."""
    fs, keys = draw(problem, key, case.num_problems)
    end, losses = unroll(m, fs, begin, keys.minibatch, num_steps=case.steps)
    return losses.sum(0).mean(), end


def two_phase(num_coordinates: int | None = None) -> Callable[..., Any]:
    """Return the form that meta-training uses, over all coordinates or from a sample."""

    def loss(m: LSTM, case: Case, problem: Any, begin: Trajectory, key: Any) -> Any:
        value, (end, _) = meta_loss(
            m,
            problem,
            begin,
            key,
            num_problems=case.num_problems,
            num_steps=case.steps,
            num_coordinates=num_coordinates,
        )
        return value, end

    return loss


def start_plainly(case: Case) -> Trajectory:
    """Begin as meta-training does."""
    return start_batch(case.m, case.problem, case.key, case.num_problems)


FORMS = {
    "textbook": Form(start_textbook, plain(textbook_rule), native=False),
    "rows": Form(start_rows, plain(rows), native=False),
    "recomputed": Form(start_plainly, recomputed),
    "two-phase": Form(start_plainly, two_phase()),
    "two-phase, in JAX": Form(start_plainly, two_phase(), native=False),
    "sampled": Form(start_plainly, two_phase(SAMPLE)),
}


def forms_of(case: Case) -> list[str]:
    """Return the forms that a case is measured in; sampling is for the large optimizees."""
    return [name for name in FORMS if name != "sampled" or case.name in ("mnist", "million")]


class MetaStep:
    """A compiled meta-step and its inputs; called, it returns ((L, end), dL/dφ)."""

    def __init__(self, case: Case, form: str, begin: Trajectory | None = None):
        self.case, self.form = case, FORMS[form]
        self.begin = self.form.start(case) if begin is None else begin
        jax.block_until_ready((self.begin, case.problem, case.m))

    def compile(self) -> "MetaStep":
        """Trace and compile, and do not run."""

        def loss(m: LSTM, problem: Any, begin: Trajectory, key: Any) -> Any:
            return self.form.loss(m, self.case, problem, begin, key)

        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        # Which code a rule runs is settled when it is traced.
        with nullcontext() if self.form.native else patch.object(_ffi, "can_run", _never):
            lowered = step.lower(*self._arguments(self.begin))
        self.compiled = lowered.compile()
        return self

    def __call__(self) -> Any:
        """Return one meta-step from the start of the episode."""
        return self.compiled(*self._arguments(self.begin))

    def episode(self) -> list[Any]:
        """Return L and dL/dφ of every segment of an episode, one dispatched after the other."""
        end, segments = self.begin, []
        for _ in range(self.case.segments):
            (value, end), gradient = self.compiled(*self._arguments(end))
            segments.append((value, gradient))
        return segments

    def temporary_bytes(self) -> int:
        """Return what XLA says that the program needs beside its inputs and outputs."""
        return int(self.compiled.memory_analysis().temp_size_in_bytes)

    def predicted_bytes(self) -> int:
        """Return what XLA says that the program needs in all."""
        analysis = self.compiled.memory_analysis()
        sizes = (
            analysis.temp_size_in_bytes,
            analysis.argument_size_in_bytes,
            analysis.output_size_in_bytes,
        )
        return int(sum(sizes))

    def _arguments(self, begin: Trajectory) -> tuple[Any, ...]:
        return self.case.m, self.case.problem, begin, self.case.key


def _never(*arrays: Any) -> bool:
    del arrays
    return False


def flat(gradient: Any) -> Any:
    """Return a meta-gradient as one vector, in the order of φ's leaves."""
    return ravel_pytree(eqx.filter(gradient, eqx.is_inexact_array))[0]
