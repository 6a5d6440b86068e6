"""Change one thing in a core file at a time, and see whether a test fails.

    python tools/mutants.py                            all of all core files, as `make mutants`
    python tools/mutants.py meta/loss --sample 10      ten of one file's, by chance

Changes (mutants) that no test notices are printed. The exit status is 1 if fewer than 80 % of them
are noticed. A mutant is made in a copy of the repository; the repository itself is left as it is.
Annotations and docstrings are not changed, because they are not behaviour, and decorators are not
changed, because such a change could not be missed.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

from metadescent.problems.data import data_dir

ROOT = Path(__file__).resolve().parent.parent
ENOUGH = 0.8
SECONDS = 600
# The tests of a file, those first that fail first.
TESTS = {
    "descent/unrolling": ("descent/test_unrolling.py", "meta/test_loss.py", "test_bad_input.py"),
    "meta/loss": ("meta/test_loss.py", "meta/test_two_phase.py", "test_bad_input.py"),
    "zoo/file": ("zoo/test_file.py", "test_bad_input.py"),
}
SWAPPED: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


class Mutant(NamedTuple):
    """A file with one change: where, what, and the whole text."""

    file: str
    line: int
    change: str
    text: str


def mutants(file: str) -> Iterator[Mutant]:
    """Yield every mutant of a core file, top to bottom."""
    tree = ast.parse((ROOT / "src" / "metadescent" / f"{file}.py").read_text(encoding="utf-8"))
    for index, node in enumerate(_behaviour(tree)):
        for number in range(len(list(_changes(node)))):
            whole = copy.deepcopy(tree)
            target = list(_behaviour(whole))[index]
            before = ast.unparse(target)
            # The changes of one node, of which this one is made.
            list(_changes(target))[number]()
            after = ast.unparse(target)
            line = getattr(node, "lineno", 0)
            yield Mutant(file, line, f"{_brief(before)}  →  {_brief(after)}", ast.unparse(whole))


def _behaviour(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that say what happens when the file's functions are called."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.Import | ast.ImportFrom) or not isinstance(inner, ast.AST):
                continue
            if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
                continue  # a docstring
            yield inner
            yield from _behaviour(inner)


def _changes(node: ast.AST) -> Iterator[Callable[[], Any]]:
    """Yield what changes a node in place, one way each."""

    def put(name: str, value: Any) -> Callable[[], Any]:
        return lambda: setattr(node, name, value)

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPPED:
            yield put("op", SWAPPED[type(op)]())
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            yield put("ops", [SWAPPED[type(op)]()])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield put("operand", ast.UnaryOp(ast.Not(), operand))
        case ast.Constant(value=bool(value)):
            yield put("value", not value)
        case ast.Constant(value=int(value) | float(value)):
            yield put("value", value + 1)
        case ast.Constant(value=str(value)):
            yield put("value", value + "!")
        case ast.If(test=test) | ast.IfExp(test=test) if not _changes_itself(test):
            yield put("test", ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=ast.expr()):
            yield put("value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield put("value", ast.Constant(None))
        case ast.Call(args=[ast.Constant() | ast.Name() | ast.Call()], keywords=[]):
            # f(x) becomes x.
            yield put("func", ast.parse("(lambda x: x)", mode="eval").body)
    if isinstance(node, ast.Call):
        for number in range(len(node.keywords)):
            yield put("keywords", node.keywords[:number] + node.keywords[number + 1 :])


def _changes_itself(test: ast.expr) -> bool:
    """Tell whether a condition is one whose own change is its negation."""
    return isinstance(test, ast.Compare) or (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    )


def _brief(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:69] + "…"


def copy_of_the_repository(folder: Path) -> Path:
    """Return a folder with all that tests need."""
    for name in ("src", "tests", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def notice(folder: Path, file: str, text: str) -> bool:
    """Tell whether a test fails where a file has that text."""
    (folder / "src" / "metadescent" / f"{file}.py").write_text(text, encoding="utf-8")
    tests = [f"tests/{name}" for name in TESTS[file]]
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*words, "-m", "not slow", *tests],
            cwd=folder, env=environment, capture_output=True, timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> None:
    """Try mutants, print what was not noticed, and a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(TESTS)}; all")
    parser.add_argument("--sample", type=int, help="mutants of each file, by chance; all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=2, help="mutants tried at a time")
    chosen = parser.parse_args()
    unknown = set(chosen.files) - set(TESTS)
    if unknown:
        parser.error(f"no core file {', '.join(sorted(unknown))}; known are {', '.join(TESTS)}")
    begun, noticed = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(name) / "compiled")
        # Beside the repository, and not beside its copies.
        os.environ["METADESCENT_DATA"] = str(data_dir())
        folders: Queue[Path] = Queue()
        for number in range(chosen.workers):
            folders.put(copy_of_the_repository(Path(name) / str(number)))

        def tried(mutant: Mutant) -> bool:
            folder, source = folders.get(), Path("src", "metadescent", f"{mutant.file}.py")
            try:
                return notice(folder, mutant.file, mutant.text)
            finally:
                shutil.copy(ROOT / source, folder / source)
                folders.put(folder)

        for file in chosen.files or TESTS:
            whole = (ROOT / "src" / "metadescent" / f"{file}.py").read_text(encoding="utf-8")
            if tried(Mutant(file, 0, "", whole)):
                sys.exit(f"the tests of {file} fail as it is: {', '.join(TESTS[file])}")
            made = list(mutants(file))
            if chosen.sample is not None:
                made = random.Random(chosen.seed).sample(made, min(chosen.sample, len(made)))
            with ThreadPoolExecutor(chosen.workers) as pool:
                noticed[file] = list(pool.map(tried, made))
            for mutant, seen in zip(made, noticed[file], strict=True):
                if not seen:
                    print(f"not noticed: {file}.py, line {mutant.line}: {mutant.change}")
            print(f"{file}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"{'file':20}{'mutants':>10}{'noticed':>10}{'share':>8}")
    for file, seen in noticed.items():
        print(f"{file:20}{len(seen):>10}{sum(seen):>10}{sum(seen) / max(1, len(seen)):>8.0%}")
    sys.exit(any(sum(seen) < ENOUGH * len(seen) for seen in noticed.values()))


if __name__ == "__main__":
    main()
