"""Examples that are drawn: of the law that is said, and noise only where there is training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.bench.data import synthetic
from metadescent.bench.models.lotka_volterra import LotkaVolterra

KEY, OTHER = jax.random.split(jax.random.key(0))


def test_inputs_have_the_eigenvalues_that_are_asked_for() -> None:
    x = np.asarray(synthetic.correlated(KEY, 4, 1000.0))
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T))
    np.testing.assert_allclose(eigenvalues, [1e-3, 1e-2, 1e-1, 1.0], rtol=0.15)


def test_a_line_is_exact_on_what_is_held_out() -> None:
    (x, y), (x_held_out, y_held_out) = synthetic.linear(KEY, 5, 10.0, 0.5)
    assert (len(x), len(x_held_out)) == (synthetic.TRAIN, synthetic.HELD_OUT)
    w, residual, *_ = np.linalg.lstsq(x_held_out, y_held_out, rcond=None)
    assert residual.sum() < 1e-6
    assert np.std(y - x @ w) == pytest.approx(0.5, rel=0.1)


def test_heavy_tails_have_errors_that_a_normal_law_has_not() -> None:
    (x, y), (x_held_out, y_held_out) = synthetic.linear(KEY, 5, 10.0, 0.5, freedom=2.0)
    w = np.linalg.lstsq(x_held_out, y_held_out, rcond=None)[0]
    errors = abs(y - x @ w) / 0.5
    assert np.median(errors) == pytest.approx(0.816, rel=0.1)  # of Student's law
    assert errors.max() > 15


def test_labels_are_drawn_with_odds_on_both_sides() -> None:
    for _, y in synthetic.labelled(KEY, 5, 10.0):
        assert {*np.unique(y)} == {0.0, 1.0}
        assert 0.3 < y.mean() < 0.7


def test_a_teacher_is_another_for_another_key() -> None:
    teachers = [synthetic.taught(key, 6, 4, 0.0) for key in (KEY, KEY, OTHER)]
    targets = [train[1] for train, _ in teachers]
    np.testing.assert_array_equal(targets[0], targets[1])
    assert abs(targets[0] - targets[2]).max() > 1
    assert 0.3 < targets[0].var() < 3


def test_a_map_has_the_singular_values_that_are_said() -> None:
    (_, _), (x, y) = synthetic.mapped(KEY, 4, 0.1)
    A = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(np.linalg.svd(A)[1], 2 * 0.75 ** np.arange(4), rtol=1e-3)


def test_no_entry_that_is_held_out_is_trained_on() -> None:
    (x, _), (x_held_out, _) = synthetic.entries_of_matrix(KEY, (100, 80), 4, 0.1)
    both = np.unique(np.concatenate([x, x_held_out]), axis=0)
    assert len(both) == synthetic.TRAIN + synthetic.HELD_OUT
    assert both.max(0).tolist() == [99, 79]


def test_entries_are_of_one_matrix_of_low_rank() -> None:
    sides = synthetic.entries_of_matrix(KEY, (80, 64), 3, 0.0)  # all of its entries
    matrix = np.zeros((80, 64))
    for x, y in sides:
        matrix[x[:, 0], x[:, 1]] = y
    values = np.linalg.svd(matrix)[1]
    assert values[2] > 1 > 1e-2 > values[3]


def test_a_few_people_come_up_often() -> None:
    (x, y), _ = synthetic.likings(KEY, (1000, 500), 4)
    counts = np.bincount(np.asarray(x[:, 0]), minlength=1000)
    # Ranks 1 and 2 have 1 / log-many of all and half of that.
    assert counts[0] > 1.3 * counts[1] > 0
    assert (counts == 0).sum() > 100
    assert 0.3 < y.mean() < 0.7


def test_records_have_categories_of_each_column() -> None:
    ((numbers, columns), y), held_out = synthetic.records(KEY, 2, (3, 5))
    assert numbers.shape == (synthetic.TRAIN, 2)
    assert columns.max(0).tolist() == [2, 4]
    assert columns.min(0).tolist() == [0, 0]
    assert y.shape == (synthetic.TRAIN, 1)
    assert held_out[1].shape == (synthetic.HELD_OUT, 1)


def test_paths_are_observed_with_errors_in_training_alone() -> None:
    system = LotkaVolterra(times=3, interval=0.1)
    (begin, paths), (begin_held_out, exact) = synthetic.observed(KEY, system, 0.2)
    # All begin near where they are first seen, but for errors.
    slow = exact[:, 0] - begin_held_out
    assert jnp.abs(slow).mean() < 0.3
    assert (paths[:, 0] - begin).std() > slow.std()
