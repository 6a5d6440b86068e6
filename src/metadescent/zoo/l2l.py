"""The authors' `.l2l` weights as an `LSTM`.

The authors' code (google-deepmind/learning-to-learn and its successors) saves an optimizer as
{"lstm_1": {"w_gates": …, "b_gates": …}, …, "linear": {"w": …, "b": …}}. Its layer has one matrix,
(inputs + hidden) × 4 hidden, with the gates in the order i, j, f, o, and adds a constant 1 to f. A
layer of ours has two matrices, transposed, the order i, f, g, o, and no constant.
"""

from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError
from metadescent.optimizers.lstm import LSTM
from metadescent.zoo.pickled import Tables, read_tables

Shapes = dict[str, tuple[int, ...]]


def load_l2l(path: str | Path, *, p: float | None = None, scale: float | None = None) -> LSTM:
    """Return the optimizer in an `.l2l` file; no code from the file is run.

    Arguments:
        path: the file.
        p: the constant of the preprocessing of appendix A, if the first layer takes its two
            features; 5 by default, as in the authors' code. The file does not contain it.
        scale: factor on the output. As in the authors' code, the default is 0.01 after that
            preprocessing, and 1 without it. The file does not contain it.

    Raises:
        UserError: if the file has anything but arrays of floats by name, if these are not those of
            a coordinatewise LSTM, or if p is given where there is no preprocessing.

    Source: section 2.1 and appendix A; `networks.py` of the authors' code for the layout. Their
        preprocessing reads log(|∇| + ε) with ε = 1.2e-7, ours log |∇|: with p = 5 that moves the
        first feature by at most 3.5e-6.

    Example:
        >>> import pickle, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "sgd.l2l"
        ...     arrays = {"w": np.full((1, 1), -0.5), "b": np.zeros(1)}
        ...     _ = path.write_bytes(pickle.dumps({"linear": arrays}, protocol=4))
        ...     m = load_l2l(path)
        >>> m.update(jnp.asarray([1.0, -2.0]), m.init(jnp.zeros(2)))[0].tolist()
        [-0.5, 1.0]
    """
    tables = read_tables(path)
    names = [f"lstm_{n + 1}" for n in range(len(tables) - 1)]
    if set(tables) != {*names, "linear"}:
        raise UserError(
            f"{path} has the modules {', '.join(sorted(tables)) or 'none'} and must have lstm_1, "
            "lstm_2, … and linear; only a coordinatewise LSTM can be converted"
        )
    layers = tuple(_length(tables[name], "b_gates") // 4 for name in names)
    first, array = (names[0], "w_gates") if names else ("linear", "w")
    inputs = _length(tables[first], array) - sum(layers[:1])
    # The inputs are the gradient, or the two features of appendix A; other numbers fail below.
    fan_in = (1 if inputs == 1 else 2, *layers)
    for name, before, hidden in zip(names, fan_in, layers, strict=False):
        gates = {"w_gates": (before + hidden, 4 * hidden), "b_gates": (4 * hidden,)}
        _require_shapes(f"{name} of {path}", tables[name], gates)
    _require_shapes(f"linear of {path}", tables["linear"], {"w": (fan_in[-1], 1), "b": (1,)})
    if inputs == 1 and p is not None:
        raise UserError(
            f"p is {p:g}, and the first layer of {path} takes gradients as they are; leave p out"
        )
    if inputs == 2:
        p, scale = 5.0 if p is None else p, 0.01 if scale is None else scale
    make = partial(LSTM, layers, p, 1.0 if scale is None else scale)
    # Only shapes are made, because every number is replaced.
    return _with_weights(eqx.filter_eval_shape(make, key=jax.random.key(0)), tables)


def _length(arrays: dict[str, NDArray], name: str) -> int:
    return arrays[name].shape[0] if name in arrays and arrays[name].ndim else 0


def _require_shapes(module: str, arrays: dict[str, NDArray], expected: Shapes) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != expected:
        raise UserError(
            f"{module} has {_written(shapes) or 'nothing'} and must have {_written(expected)}; "
            "only a coordinatewise LSTM can be converted"
        )


def _written(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _with_weights(m: LSTM, tables: Tables) -> LSTM:
    for layer, hidden in enumerate(m.layers):
        weight, bias = (_gates(tables[f"lstm_{layer + 1}"][x]) for x in ("w_gates", "b_gates"))
        # Our layers add no constant to f, the second gate, so the bias includes it.
        bias[hidden : 2 * hidden] += 1.0
        m = eqx.tree_at(
            lambda m, n=layer: (m.cells[n].weight_ih, m.cells[n].weight_hh, m.cells[n].bias),
            m,
            tuple(map(jnp.asarray, (weight[:, :-hidden], weight[:, -hidden:], bias))),
        )
    w, b = (jnp.asarray(tables["linear"][x].astype(np.float32).T) for x in ("w", "b"))
    return eqx.tree_at(lambda m: (m.output.weight, m.output.bias), m, (w, b))


def _gates(array: NDArray) -> NDArray:
    # Their j is our g; our gates are in the order of PyTorch.
    i, j, f, o = np.split(array.astype(np.float32), 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1).T
