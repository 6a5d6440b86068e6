"""Losses of runs, kept in a folder, so that a comparison that was interrupted goes on.

Each file has the losses of one optimizer. Its name has a digest of all that they depend on: φ or
the tuned rate, the problem and its data, the key, the sizes, and the code that unrolls.
"""

import ast
import functools
import hashlib
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent._provenance import versions

ROOMS = ("descent", "optimizers", "problems", "native")
"""Where the code lies that losses depend on; the package's own modules count, too."""


class Runs(NamedTuple):
    """f(θ_1) … f(θ_T) of an optimizer on each problem, and some of them on held-out data.

    `before` is how many seconds these took earlier, 0 if they were made now.
    """

    losses: Float[np.ndarray, "seeds steps"]
    held_out: Float[np.ndarray, "seeds points"] | None = None
    before: float = 0.0


def run_once(folder: Path, name: str, question: Any, run: Callable[[], Runs]) -> Runs:
    """Return what `run` returns, from the folder if the same question was answered before.

    Arguments:
        folder: where the files are; it is made when the first one is written.
        name: the optimizer; the file's name begins with it.
        question: what the losses depend on, as JSON takes it, but for the code.
        run: answers it.

    A file that is damaged, or of other shapes, is written anew. One that cannot be written only
    costs time.

    Example:
        >>> import pathlib, tempfile
        >>> runs = Runs(np.asarray([[2.0, 1.0]]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = run_once(pathlib.Path(folder), "adam", {"rate": 0.1}, lambda: runs)
        ...     again = run_once(pathlib.Path(folder), "adam", {"rate": 0.1}, lambda: 1 / 0)
        >>> again.losses.tolist(), again.held_out, first.before, again.before > 0
        ([[2.0, 1.0]], None, 0.0, True)
    """
    written = json.dumps([question, _code(), versions()], sort_keys=True)
    path = folder / f"{name}-{hashlib.sha256(written.encode()).hexdigest()[:16]}.npz"
    # Whatever is wrong with a file, the runs can be made again.
    with suppress(Exception):
        arrays = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        kept = Runs(**{name: arrays[name] for name in arrays.files})
        if kept.losses.ndim == 2 and kept.losses.dtype.kind == "f":
            return kept._replace(before=float(kept.before))
    began = time.perf_counter()
    runs = run()
    values = runs._replace(before=time.perf_counter() - began)._asdict()
    content = io.BytesIO()
    np.savez(content, **{name: value for name, value in values.items() if value is not None})
    with suppress(UserError):
        write_atomically(path, content.getvalue())
    return runs


@functools.cache
def _code() -> str:
    """Return a digest of the code that losses depend on."""
    root = Path(__file__).parent.parent
    folders = [(root, "*"), *((root / room, "**/*") for room in ROOMS)]
    paths = {path for folder, pattern in folders for path in folder.glob(pattern)}
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.suffix in {".py", ".cc", ".h"}):
        text = path.read_text(encoding="utf-8")
        digest.update((_without_words(text) if path.suffix == ".py" else text).encode())
    return digest.hexdigest()


def _without_words(source: str) -> str:
    """Return what a module does: its code without comments and docstrings."""
    return ast.dump(_Wordless().visit(ast.parse(source)))


class _Wordless(ast.NodeTransformer):
    """Leaves out texts that stand alone, which do nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node
