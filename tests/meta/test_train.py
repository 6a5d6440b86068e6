"""Meta-training: one compiled program, the best φ kept, and a resumed run the same to the bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.curves import final_loss, learning_curves
from metadescent.descent.episode import start_batch
from metadescent.meta.epoch import footprint
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.imitation import Imitation
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import meta_loss
from metadescent.meta.schedule import Schedule
from metadescent.meta.state import initial_state, is_over
from metadescent.meta.train import meta_train
from metadescent.meta.validation import validate
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Parts, Problem

KEY = jax.random.key(1)
M = LSTM((4,), p=None, scale=0.1, key=jax.random.key(0))
ADAM = optax.adam(1e-2)
SCHEDULE = Schedule(
    epochs=4,
    episodes=5,
    steps=6,
    unroll=3,
    validation_problems=16,
    average=0.5,
)
BPTT = Truncated(problems=8)
TRACED: list[str] = []


class Bowl(Optimizee):
    """f(θ) = ‖θ − c‖², which notes each time that it is traced."""

    centre: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, self.centre.shape)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        TRACED.append("loss")
        return jnp.sum((theta - self.centre) ** 2)


class Bowls(Problem):
    def sample(self, key: jax.Array) -> Bowl:
        return Bowl(jax.random.normal(key, (2,)))


def train(schedule: Schedule = SCHEDULE, **options: Any) -> list[Any]:
    options = {"meta_optimizer": ADAM, "key": KEY, "estimator": BPTT, **options}
    return list(meta_train(M, Bowls(), schedule, **options))


@pytest.fixture(scope="module")
def traces() -> list[int]:
    """How often f had been traced after each epoch of `run`."""
    return []


@pytest.fixture(scope="module")
def run(traces: list[int]) -> list[Any]:
    """The states and infos of a whole run."""
    found = []
    for state_and_info in meta_train(
        M, Bowls(), SCHEDULE, meta_optimizer=ADAM, key=KEY, estimator=BPTT
    ):
        found.append(state_and_info)
        traces.append(len(TRACED))
    return found


def test_it_compiles_once(run: list[Any], traces: list[int]) -> None:
    assert traces[0] > 0
    assert traces == [traces[0]] * SCHEDULE.epochs


def test_what_its_memory_is_read_from_is_what_it_runs(
    run: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    # Lengths and a meta-optimizer that nothing else here has, so that all is compiled anew.
    schedule, adam = replace(SCHEDULE, steps=9), optax.adam(1e-2)
    fresh, resumed = initial_state(M, adam), run[0][0]
    with jax.log_compiles():
        found = footprint(fresh, Bowls(), schedule, BPTT, adam)
        traced = len(TRACED)
        for state in (fresh, resumed):
            train(schedule, meta_optimizer=adam, state=state)
    assert len(TRACED) == traced
    compiled = [line for line in caplog.messages if "Finished XLA compilation" in line]
    for program in ("jit(_train_epoch)", "jit(compiled_validation)"):
        assert sum(program in line for line in compiled) == 1
    assert min(found) > 0


@pytest.mark.slow
def test_memory_goes_with_the_problems() -> None:
    few, many = (
        footprint(
            initial_state(M, ADAM),
            Bowls(),
            replace(SCHEDULE, validation_problems=n),
            Truncated(problems=n),
            ADAM,
        )
        for n in (1000, 4000)
    )
    assert many.epoch == pytest.approx(4 * few.epoch, rel=0.3)
    assert many.validation == pytest.approx(4 * few.validation, rel=0.3)


@pytest.mark.parametrize("form", ["recompute", "segments", "plain"])
def test_the_form_changes_nothing_but_time_and_memory(
    form: str, run: list[Any], assert_close: Callable
) -> None:
    state, info = train(replace(SCHEDULE, epochs=1), estimator=Truncated(problems=8, form=form))[0]
    assert_close(info, run[0][1], rtol=1e-4)
    assert_close(state.m, run[0][0].m, rtol=1e-3, atol=1e-4)


def test_it_learns(run: list[Any]) -> None:
    validation_key, _ = jax.random.split(KEY)
    idle = learning_curves(optax.sgd(0.0), Bowls(), validation_key, num_steps=6, num_seeds=16)
    losses = [float(info.validation_loss) for _, info in run]
    assert losses[-1] < losses[0]
    assert losses[-1] < 0.8 * float(final_loss(idle.mean(0)))


def test_an_epoch_shows_what_it_says(run: list[Any], assert_close: Callable) -> None:
    validation_key, _ = jax.random.split(KEY)
    for epoch, (state, info) in enumerate(run, start=1):
        assert int(state.epoch) == epoch
        assert info.meta_losses.shape == info.gradient_norms.shape == (5, 2)
        assert (info.gradient_norms > 0).all()
        frozen = learning_curves(state.average, Bowls(), validation_key, num_steps=6, num_seeds=16)
        assert_close(info.validation, frozen.mean(0))
        assert_close(info.validation_loss, final_loss(info.validation))


def test_the_best_by_validation_is_kept(run: list[Any], assert_same_bits: Callable) -> None:
    losses = [float(info.validation_loss) for _, info in run]
    for epoch, (state, _) in enumerate(run, start=1):
        best = int(np.argmin(losses[:epoch]))
        assert int(state.best_epoch) == best + 1
        assert float(state.best_loss) == losses[best]
        assert_same_bits(state.best, run[best][0].average)


@pytest.mark.parametrize("epoch", [1, 3])
def test_resumed_is_uninterrupted_to_the_bit(
    epoch: int, run: list[Any], assert_same_bits: Callable
) -> None:
    resumed = train(state=run[epoch - 1][0])
    assert len(resumed) == SCHEDULE.epochs - epoch
    for there, here in zip(run[epoch:], resumed, strict=True):
        assert_same_bits(here, there)


def test_a_finished_run_does_nothing_more(run: list[Any]) -> None:
    assert train(state=run[-1][0]) == []


ONE_STEP = Schedule(epochs=2, episodes=1, steps=3, unroll=3, validation_problems=2)
TWO = {"estimator": Truncated(2)}


@eqx.filter_jit
def meta_step(m: LSTM, adam_state: Any, epoch: jax.Array) -> tuple[LSTM, Any]:
    """φ after one step of the meta-optimizer on the only segment of the only episode."""
    _, training_key = jax.random.split(KEY)
    key = jax.random.split(jax.random.fold_in(training_key, epoch), 1)[0]
    begin = start_batch(m, Bowls(), key, 2)
    gradient, _ = eqx.filter_grad(meta_loss, has_aux=True)(
        m, Bowls(), begin, key, num_problems=2, num_steps=3
    )
    updates, adam_state = ADAM.update(gradient, adam_state)
    return eqx.apply_updates(m, updates), adam_state


def test_a_meta_step_is_the_meta_optimizers_and_the_average_is_exponential(
    assert_close: Callable,
) -> None:
    m = average = M
    adam_state = ADAM.init(eqx.filter(M, eqx.is_inexact_array))
    for epoch, (state, _) in enumerate(train(replace(ONE_STEP, average=0.75), **TWO)):
        m, adam_state = meta_step(m, adam_state, jnp.asarray(epoch))
        average = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, average, m)
        assert_close(state.m, m, rtol=1e-4)
        assert_close(state.average, average, rtol=1e-4)


def test_without_an_average_phi_itself_is_validated(assert_same_bits: Callable) -> None:
    for state, _ in train(ONE_STEP, **TWO):
        assert_same_bits(state.average, state.m)


def test_patience_ends_a_run_that_gets_no_better() -> None:
    schedule = replace(ONE_STEP, epochs=10, patience=2)
    states = [state for state, _ in train(schedule, meta_optimizer=optax.sgd(0.0), **TWO)]
    assert [int(state.best_epoch) for state in states] == [1, 1, 1]


def test_what_diverges_is_never_the_best(assert_same_bits: Callable) -> None:
    schedule = replace(ONE_STEP, epochs=3)
    state, info = train(schedule, meta_optimizer=optax.sgd(jnp.inf), **TWO)[-1]
    assert not np.isfinite(info.validation_loss)
    assert int(state.best_epoch) == 0
    assert_same_bits(state.best, M)


@pytest.mark.parametrize(("steps", "proposed"), [(90, 80), (10, 20)])
def test_the_horizon_is_a_multiple_of_the_unroll(
    steps: int, proposed: int, sentence: Callable
) -> None:
    assert sentence(train, replace(SCHEDULE, steps=steps, unroll=20)) == (
        f"the horizon of {steps} steps is not a multiple of the unroll of 20; "
        f"try --steps {proposed}"
    )


def test_updates_counts_the_steps_of_the_meta_optimizer(run: list[Any]) -> None:
    count = optax.tree.get(run[-1][0].meta_optimizer, "count")
    assert SCHEDULE.updates == int(count) == 4 * 5 * 2


def test_the_second_derivatives_change_the_meta_gradient(run: list[Any]) -> None:
    bptt = Truncated(2, second_derivatives=True)
    exact = train(replace(ONE_STEP, epochs=1), estimator=bptt)[0]
    first_order = train(replace(ONE_STEP, epochs=1), **TWO)[0]
    assert float(exact[1].meta_losses[0, 0]) == pytest.approx(
        float(first_order[1].meta_losses[0, 0]), rel=1e-5
    )
    assert not np.allclose(exact[1].gradient_norms, first_order[1].gradient_norms, rtol=1e-3)


def test_each_segment_has_its_own_part_of_the_weights(assert_same_bits: Callable) -> None:
    schedule = Schedule(epochs=1, episodes=1, steps=6, unroll=3, validation_problems=2)
    sgd = optax.sgd(1e-2)

    def last_phi(weights: list[float]) -> Any:
        (state, info), *_ = train(schedule, meta_optimizer=sgd, weights=jnp.asarray(weights), **TWO)
        return eqx.filter(state.m, eqx.is_array), np.asarray(info.gradient_norms)[0]

    phi, norms = last_phi([0.0] * 6)
    assert_same_bits(phi, eqx.filter(M, eqx.is_array))
    assert norms.tolist() == [0.0, 0.0]
    _, norms = last_phi([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    assert norms[0] == 0.0 < norms[1]


def test_validation_may_go_beyond_the_horizon(assert_close: Callable) -> None:
    ((state, info),) = train(replace(ONE_STEP, epochs=1, validation_steps=15), **TWO)
    assert info.validation.shape == (15,)
    assert info.meta_losses.shape == (1, 1)
    validation_key, _ = jax.random.split(KEY)
    curves = learning_curves(state.m, Bowls(), validation_key, num_steps=15, num_seeds=2)
    assert_close(info.validation, curves.mean(0))
    assert_close(info.validation_loss, final_loss(curves.mean(0)))


IDLE = optax.sgd(0.0)


def test_patience_waits_for_the_least_epochs(assert_same_bits: Callable) -> None:
    """And `validate` is what each epoch says of a φ that rests."""
    schedule = replace(ONE_STEP, epochs=7, patience=2, least_epochs=5)
    found = train(schedule, meta_optimizer=IDLE, **TWO)
    assert [int(state.best_epoch) for state, _ in found] == 5 * [1]
    assert [is_over(state, schedule) for state, _ in found] == [*(4 * [False]), True]
    validation_key, _ = jax.random.split(KEY)
    here = validate(M, Bowls(), validation_key, schedule)
    for _, info in found:
        assert_same_bits((info.validation, info.validation_loss, info.vitals), tuple(here))


def test_an_improvement_renews_patience() -> None:
    schedule = Schedule(epochs=100, patience=2, least_epochs=3)
    state = initial_state(M, ADAM)

    def over(epoch: int, best_epoch: int) -> bool:
        at = {"epoch": jnp.asarray(epoch), "best_epoch": jnp.asarray(best_epoch)}
        return is_over(state._replace(**at), schedule)

    assert [over(epoch, 1) for epoch in (1, 2, 3, 4)] == [False, False, True, True]
    assert [over(epoch, 3) for epoch in (3, 4, 5)] == [False, False, True]
    assert over(100, 100)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [PES(problems=64, std=0.03), Imitation(problems=8, rate=0.3)],
    ids=lambda x: type(x).__name__,
)
def test_it_learns_by_other_estimators(estimator: Estimator) -> None:
    found = train(replace(SCHEDULE, epochs=6, episodes=20), estimator=estimator)
    assert found[0][1].meta_losses.shape == (20, 2)
    losses = [float(info.validation_loss) for _, info in found]
    validation_key, _ = jax.random.split(KEY)
    idle = learning_curves(optax.sgd(0.0), Bowls(), validation_key, num_steps=6, num_seeds=16)
    assert losses[-1] < losses[0]
    assert losses[-1] < 0.8 * float(final_loss(idle.mean(0)))
    paid = [float(info.meta_losses.mean()) for _, info in found]
    assert paid[-1] < 0.9 * paid[0]


class Halves(Bowls):
    """Bowls in two parts: those that φ learns from, and others whose f is 1 higher."""

    higher: float = 0.0

    def sample(self, key: jax.Array) -> Optimizee:
        return Higher(jax.random.normal(key, (2,)), self.higher)

    def hold_out(self, share: float) -> Parts:
        held = Halves(1.0)
        return Parts(self, held, held) if share else super().hold_out(share)


class Higher(Bowl):
    higher: float

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return super().loss(theta, key) + self.higher


def test_phi_is_validated_on_what_is_held_out_and_learns_from_the_rest() -> None:
    options = {"meta_optimizer": ADAM, "key": KEY, "estimator": BPTT}
    schedule = replace(SCHEDULE, epochs=1)
    ((_, apart),) = meta_train(M, Halves(), replace(schedule, held_out=0.3), **options)
    ((_, alike),) = meta_train(M, Halves(), schedule, **options)
    np.testing.assert_array_equal(apart.meta_losses, alike.meta_losses)
    np.testing.assert_allclose(apart.validation, alike.validation + 1, rtol=1e-5)
