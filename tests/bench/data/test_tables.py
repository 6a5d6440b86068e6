"""Tables of scikit-learn: standardized by what is trained on, no row on both sides."""

import importlib.util

import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.bench.data import tables

installed = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"
)


@installed
@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("breast_cancer", (569, 30), np.float32),
        ("wine", (178, 13), np.int32),
        ("diabetes", (442, 10), np.float32),
    ],
)
def test_rows_are_on_one_side_and_standardized(
    name: str, shape: tuple[int, int], kind: type
) -> None:
    (x, y), (x_held_out, y_held_out) = getattr(tables, name)()
    assert len(x_held_out) == shape[0] // 5
    assert (len(x) + len(x_held_out), x.shape[1]) == shape
    assert x.dtype == np.float32
    assert y.dtype == y_held_out.dtype == kind
    assert len(np.unique(np.concatenate([x, x_held_out]), axis=0)) == shape[0]
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-4)


@installed
def test_targets_are_those_of_the_sources() -> None:
    cancer, wine, diabetes = tables.breast_cancer(), tables.wine(), tables.diabetes()
    targets = np.concatenate([cancer.train[1], cancer.held_out[1]])
    assert targets.sum() == 357  # benign
    kinds = np.concatenate([wine.train[1], wine.held_out[1]])
    assert np.bincount(kinds).tolist() == [59, 71, 48]
    progress = np.concatenate([diabetes.train[1], diabetes.held_out[1]])
    np.testing.assert_allclose([progress.mean(), progress.std()], [0, 1], atol=1e-5)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        tables.wine()
    assert str(caught.value) == (
        "The tables of the bench come with scikit-learn, which is not installed: "
        "run pip install 'metadescent[data]'."
    )
