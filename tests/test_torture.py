"""A small share of `make torture`; and that nothing in the package unpickles."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def torture(*words: str) -> list[list[str]]:
    """Return the rows of the table, which must say that nothing was lost."""
    program = str(ROOT / "tools" / "torture.py")
    done = subprocess.run([sys.executable, program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows, minutes = done.stdout.splitlines()
    assert float(minutes.partition(" minutes")[0]) > 0
    assert head.split() == ["fault", "tried", "survived", "lost"]
    return [row.rsplit(maxsplit=3) for row in rows]


@pytest.mark.slow
def test_a_thousand_mutated_files_are_read_or_refused_in_a_sentence() -> None:
    *kinds, total = torture("--only", "files", "--share", "0.01")
    assert len(kinds) == 14
    # A bomb takes a second, so there are few.
    assert all(int(tried) >= (1 if kind.endswith("bombs") else 10) for kind, tried, _, _ in kinds)
    assert total == ["in all", "1,550", "1,550", "0"]


NOTED = """
import os, pickle, sys, tempfile
from pathlib import Path
sys.path.insert(0, {tools!r})
import guard
with tempfile.TemporaryDirectory() as name:
    watch = guard.Guard(Path(name))
    for act in (
        lambda: Path(name, "inside").write_text("x"),
        lambda: __import__("fractions"),
        lambda: exec("x = 1"),
        lambda: eval("1 + 1"),
        lambda: os.system("true"),
        lambda: pickle.loads(b"cos\\nsystem\\n."),
        lambda: open(name + "-outside", "w").close() or os.remove(name + "-outside"),
    ):
        with watch.watching():
            act()
        print(*sorted({{one.split()[0] for one in watch.seen}}) or ["nothing"])
"""


def test_the_guard_takes_note_of_code_that_is_run_and_of_writes_elsewhere() -> None:
    program = NOTED.format(tools=str(ROOT / "tools"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *("nothing", "nothing", "exec", "exec", "os.system", "pickle.find_class"),
        "open os.remove",
    ]


@pytest.mark.slow
def test_a_fault_of_each_kind_is_survived_by_a_process_that_trains() -> None:
    *kinds, total = torture("--only", "processes", "--share", "0.01", "--workers", "1")
    assert len(kinds) == 9
    assert all(tried == survived and int(tried) >= 1 for _, tried, survived, _ in kinds)
    assert total[-1] == "0"


@pytest.mark.slow
def test_numbers_that_are_not_finite_are_met_as_the_policies_say() -> None:
    *kinds, total = torture("--only", "numbers", "--share", "0.1")
    assert len(kinds) == 5
    assert all(tried == survived and int(tried) >= 1 for _, tried, survived, _ in kinds)
    assert total[-1] == "0"


WITHOUT_PICKLE = """
import importlib, pickle, pkgutil, sys

def forbidden(*_, **__):
    raise AssertionError("pickle")

pickle.load = pickle.loads = forbidden

def watch(event, arguments):
    if event == "pickle.find_class":
        raise AssertionError(event)

sys.addaudithook(watch)
import metadescent
count = 0
for module in pkgutil.walk_packages(metadescent.__path__, "metadescent."):
    if not module.name.startswith("metadescent.torch") or {torch}:
        importlib.import_module(module.name)
        count += 1
from metadescent import zoo
for name in zoo.names():
    zoo.load(name)
print(count)
"""


@pytest.mark.slow
def test_everything_is_imported_and_loaded_with_pickle_forbidden() -> None:
    program = WITHOUT_PICKLE.replace("{torch}", str(find_spec("torch") is not None))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_runs_what_it_reads(path: Path) -> None:
    never = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "eval", "exec"}
    if path.parts[-2:] == ("zoo", "pickled.py"):
        never -= {"pickle"}  # tests/zoo/test_pickled.py says what of it
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: set[str] = set()
        if isinstance(node, ast.Import):
            found = {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found = {(node.module or "").partition(".")[0]}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found = {node.func.id}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(ast.unparse(k) == "weights_only=True" for k in node.keywords)
        assert not found & never


@pytest.mark.slow
def test_what_others_have_around_it_stays_and_is_taken_or_refused() -> None:
    *kinds, total = torture("--only", "surroundings", "--share", "0.02")
    assert len(kinds) >= 9
    assert all(tried == survived and int(tried) >= 3 for _, tried, survived, _ in kinds)
    assert total[-1] == "0"


@pytest.mark.slow
def test_kernels_take_what_fits_and_refuse_what_does_not_under_sanitizers() -> None:
    *kinds, total = torture("--only", "kernels", "--share", "0.02")
    # Where there is no compiler with sanitizers it says so, and counts nothing.
    assert all(kind.startswith("kernel ") and int(tried) >= 50 for kind, tried, _, _ in kinds)
    assert total[-1] == "0"


ENDED = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
if __name__ == "__main__":
    sys.path.insert(0, {tools!r})
    import crashes
    def status(_):
        process = crashes.FORKED.Process(target=os._exit, args=(2,))
        with crashes._BOOKS:
            process.start()
        crashes.join(process)
        return crashes.status_of(process)
    with ThreadPoolExecutor(8) as pool:
        print(*sorted(set(pool.map(status, range(400)))))
"""


@pytest.mark.slow
def test_threads_that_start_processes_read_how_those_of_others_ended(tmp_path: Path) -> None:
    """By `process.join` alone two tries of five read 255 for a process or more."""
    program = tmp_path / "ended.py"
    program.write_text(ENDED.format(tools=str(ROOT / "tools")))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
