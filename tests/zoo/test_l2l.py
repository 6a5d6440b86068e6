"""The authors' weights, converted, do what the authors' code did."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.lstm import LSTM
from metadescent.problems.data import data_dir
from metadescent.zoo.cards import read_card
from metadescent.zoo.file import load
from metadescent.zoo.l2l import load_l2l

PARITY = data_dir() / "parity"
Tables = dict[str, dict[str, np.ndarray]]


def drawn(layers: tuple[int, ...], inputs: int) -> Tables:
    """Weights of this architecture in the authors' layout."""
    draw = np.random.default_rng(0).normal
    tables, fan_in = {}, (inputs, *layers)
    for n, hidden in enumerate(layers):
        gates = {
            "w_gates": draw(size=(fan_in[n] + hidden, 4 * hidden)),
            "b_gates": draw(size=4 * hidden),
        }
        tables[f"lstm_{n + 1}"] = gates
    tables["linear"] = {"w": draw(size=(fan_in[-1], 1)), "b": draw(size=1)}
    return {name: {k: a.astype(np.float32) for k, a in of.items()} for name, of in tables.items()}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    def write(tables: Any) -> Path:
        path = tmp_path / "cw.l2l-0"
        path.write_bytes(pickle.dumps(tables, protocol=4))
        return path

    return write


def run(m: LSTM, gradients: jax.Array) -> tuple[jax.Array, Any]:
    def step(state: Any, gradient: jax.Array) -> tuple[Any, jax.Array]:
        update, state = m.update(gradient, state)
        return state, update

    state, updates = jax.lax.scan(step, m.init(gradients[0]), gradients)
    return updates, state


def test_it_does_what_the_authors_code_did(written: Callable) -> None:
    """Thirty recorded steps of google-deepmind/learning-to-learn, gradients over nine decades.

    Their preprocessing reads log(|∇| + ε) with ε = 1.2e-7 where ours reads log |∇|. That moves the
    input by at most ε / (p e^−p) = 3.5e-6, and nothing where |∇| < e^−p − ε, where both read −1:
    hence the tolerances on the state and, 0.01 times as large, on the updates.

    `parity_quadratic_net.npz` beside it holds gradients, updates and the last state, but no φ:
    there is nothing in it to convert.
    """
    path = PARITY / "parity_default_net_random_theta.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not here")
    with np.load(path) as fixture:
        tables: Tables = {}
        for name in fixture:
            if name.startswith("theta:"):
                _, module, array = name.split(".")
                tables.setdefault(module, {})[array] = fixture[name]
        m = load_l2l(written(tables))
        assert (m.layers, m.p, m.scale) == ((20, 20), 5.0, 0.01)
        updates, ((h1, c1), (h2, c2)) = run(m, jnp.asarray(fixture["grads"]))
        np.testing.assert_allclose(updates, fixture["updates"], rtol=0, atol=1e-8)
        for number, ours in enumerate((h1, c1, h2, c2)):
            np.testing.assert_allclose(ours.T, fixture[f"state{number}"], rtol=0, atol=2e-6)


def by_their_formulas(
    tables: dict[str, dict[str, np.ndarray]], gradients: np.ndarray
) -> np.ndarray:
    """Updates of one coordinate: the formulas of Sonnet's LSTM, in NumPy and double precision."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    layers = sorted(set(tables) - {"linear"})
    sizes = {name: tables[name]["b_gates"].size // 4 for name in layers}
    state = {name: (np.zeros(sizes[name]), np.zeros(sizes[name])) for name in layers}
    updates = []
    for gradient in gradients:
        x = np.asarray([gradient], float)
        for name in layers:
            h, c = state[name]
            z = np.concatenate([x, h]) @ tables[name]["w_gates"] + tables[name]["b_gates"]
            i, j, f, o = np.split(z, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
            x = sigmoid(o) * np.tanh(c)
            state[name] = x, c
        updates.append((x @ tables["linear"]["w"] + tables["linear"]["b"])[0])
    return np.asarray(updates)


@pytest.mark.parametrize("layers", [(), (3,), (3, 2)], ids=["line", "one", "two"])
def test_without_preprocessing_it_is_their_formulas(
    layers: tuple[int, ...], written: Callable
) -> None:
    tables, gradients = drawn(layers, inputs=1), np.asarray([0.5, -2.0, 0.0, 1e-3], np.float32)
    m = load_l2l(written(tables))
    assert (m.layers, m.p, m.scale) == (layers, None, 1.0)
    found, _ = run(m, jnp.asarray(gradients)[:, None])
    np.testing.assert_allclose(
        found[:, 0], by_their_formulas(tables, gradients), rtol=1e-5, atol=1e-6
    )


def test_p_and_scale_are_the_callers_where_the_file_leaves_them_open(written: Callable) -> None:
    m = load_l2l(written(drawn((2,), inputs=2)), p=10.0, scale=0.1)
    assert (m.p, m.scale) == (10.0, 0.1)
    assert load_l2l(written(drawn((2,), inputs=1)), scale=0.1).scale == 0.1


def test_a_constant_for_what_is_not_there_is_refused(written: Callable, sentence: Callable) -> None:
    path = written(drawn((2,), inputs=1))
    assert sentence(load_l2l, path, p=10.0) == (
        f"p is 10, and the first layer of {path} takes gradients as they are; leave p out"
    )


def without(tables: Any, module: str, name: str) -> Any:
    return tables | {module: {k: v for k, v in tables[module].items() if k != name}}


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({}, "has the modules none and must have lstm_1, lstm_2, … and linear"),
        (
            {"input_projection": {}, **drawn((2,), 2)},
            "has the modules input_projection, linear, lstm_1 and must have lstm_1, lstm_2, … and",
        ),
        ({"lstm_2": {}, "linear": {}}, "has the modules linear, lstm_2 and must have"),
        (
            drawn((2,), inputs=9),
            "lstm_1 of {path} has w_gates [11, 8], b_gates [8] and must have w_gates [4, 8], b_gat",
        ),
        (
            without(drawn((2,), 2), "lstm_1", "w_gates"),
            "lstm_1 of {path} has b_gates [8] and must have w_gates [4, 8], b_gates [8]",
        ),
        (
            drawn((2,), 2) | {"linear": {"w": np.ones((2, 9)), "b": np.ones(9)}},
            "linear of {path} has w [2, 9], b [9] and must have w [2, 1], b [1]",
        ),
        ({"linear": {}}, "linear of {path} has nothing and must have w [2, 1], b [1]"),
    ],
    ids=["none", "another network", "a gap", "inputs", "no matrix", "a kernel's", "empty"],
)
def test_another_network_is_refused(
    tables: Any, expected: str, written: Callable, sentence: Callable
) -> None:
    path = written(tables)
    found = sentence(load_l2l, path)
    assert expected.format(path=path) in found
    assert found.endswith("; only a coordinatewise LSTM can be converted")


def test_convert_writes_an_optimizer_that_loads(
    metadescent: Callable, written: Callable, assert_same_bits: Callable
) -> None:
    path = written(drawn((3, 2), inputs=2))
    status, out, said = metadescent("convert", str(path), "lstm", "--scale", "0.02")
    there, spec = path.with_suffix(".safetensors"), "lstm(layers=(3, 2), p=5.0, scale=0.02)"
    assert (status, out, said) == (0, f"{spec}: {there}\n", "")
    assert_same_bits(load(there), load_l2l(path, scale=0.02))
    card = read_card(there)
    assert card["optimizer"] == spec
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["converted_from"] == {"file": "cw.l2l-0", "sha256": digest}
    status, out, said = metadescent("inspect", str(there))
    assert status == 0
    assert json.dumps(digest) in out
    assert metadescent("convert", str(path), "lstm") == (
        2,
        "",
        f"metadescent: {there} is there already; delete it or choose another place with --out\n",
    )


def test_convert_refuses_in_one_sentence_and_writes_nothing(
    metadescent: Callable, tmp_path: Path
) -> None:
    Path("cw.l2l").write_bytes(pickle.dumps(print))
    status, out, said = metadescent("convert", "cw.l2l", "lstm")
    assert (status, out) == (2, "")
    assert said.startswith(
        "metadescent: cw.l2l has the name 'builtins.print' and must be a pickle "
    )
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["cw.l2l"]
    status, _, said = metadescent("convert", "cw.l2l", "lstm", "--p", "0")
    assert (status, said) == (2, "metadescent: p is 0.0 and must be from 0.1 to 80\n")
