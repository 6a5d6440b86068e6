"""The examples are as short as promised, and an optimizer trains on each."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent.registry import make_problem

ROOT = Path(__file__).parent.parent
# It trains nothing; tests/figures/paper/test_judge_again.py runs it.
PROGRAM = ROOT / "examples" / "judge_again.py"
EXAMPLES = sorted({*(ROOT / "examples").glob("*.py")} - {PROGRAM})
GALLERY = ROOT / "examples" / "gallery" / "families.py"
FAMILIES = re.findall(r"^def ([a-z]\w*)", GALLERY.read_text(encoding="utf-8"), re.MULTILINE)
# Two meta-steps.
TINY = shlex.split(
    "--optimizer 'lstm(layers=(2,),p=None)' --steps 2 --unroll 2 --problems 2 --epochs 1 "
    "--episodes 2 --validation-problems 2 --out r"
)

each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def skip_without_data(path: Path) -> None:
    if "load_digits" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn")


def test_there_are_three() -> None:
    assert [path.stem for path in EXAMPLES] == ["deblurring", "pendulum", "regressions"]


@each
def test_it_has_fifteen_lines_beside_its_imports(path: Path) -> None:
    _, _, code = path.read_text(encoding="utf-8").split('"""', 2)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len([line for line in lines if not re.match(r"import |from ", line)]) <= 15


# The programs of the others take seconds to compile.
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] * (path.stem != "regressions"), id=path.stem)
        for path in EXAMPLES
    ],
)
def test_an_optimizer_trains_on_it(path: Path, metadescent: Callable) -> None:
    skip_without_data(path)
    status, _, said = metadescent("train", f"{path}:{path.stem}", *TINY)
    assert status == 0, said
    (epoch,) = map(json.loads, Path("r", "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert np.isfinite([epoch["meta_loss"], epoch["validation_loss"]]).all()
    assert 0 < epoch["gradient_norm"] < np.inf


@each
def test_its_functions_differ_and_have_a_gradient(path: Path) -> None:
    skip_without_data(path)
    problem = make_problem(f"{path}:{path.stem}")
    keys = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    def slopes(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            f = problem.sample(key)
            value, slope = jax.value_and_grad(f.loss)(f.init(keys[0]), keys[0])
            return value, sum(jax.numpy.abs(leaf).sum() for leaf in jax.tree.leaves(slope))

        return jax.vmap(one)(keys)

    values, sizes = slopes(keys)
    assert len(set(values.tolist())) == 3
    assert (sizes > 0).all()
    assert np.isfinite(sizes).all()


# Each draws a thousand tasks.
@pytest.mark.slow
def test_the_families_of_the_gallery_are_problems() -> None:
    skip_without_data(GALLERY)
    for name in FAMILIES:
        f = make_problem(f"{GALLERY}:{name}(seed=1)").sample(jax.random.key(0))
        theta = jax.eval_shape(f.init, jax.random.key(0))
        slope = jax.eval_shape(jax.grad(f.loss), theta, jax.random.key(0))
        assert jax.tree.map(lambda leaf: leaf.shape, slope) == jax.tree.map(
            lambda leaf: leaf.shape, theta
        )
