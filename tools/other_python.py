"""Run a part of the tests on another Python, such as 3.13, in an environment of its own.

    python tools/other_python.py python3.13
    python tools/other_python.py python3.13 tests/optimizers tests/meta --folder .venv-3.13

This makes a virtual environment with that Python, in a temporary folder unless one is named. It
installs the checkout there, with the packages that its tests need, in the versions of
constraints.txt. Then it runs the tests that are named, or else those of files, texts,
specifications, errors and optimizers. PyTorch and its tests are left out, because PyTorch is large.
A folder that is named is kept, and the next call uses it again. The exit status is that of the
tests.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
NARROW = (
    *("tests/test_errors.py", "tests/test_files.py", "tests/test_spec.py", "tests/test_text.py"),
    *("tests/test_public_names.py", "tests/optimizers"),
)
LARGE = ("metadescent[", "pyright")
"""How requirements for development begin that no test but of PyTorch and of types needs."""
EXTRAS = "dask,data,hub,tensorboard"


def requirements() -> list[str]:
    """Return what the tests need beside the package, as pyproject.toml says."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["optional-dependencies"]["dev"]
    return [requirement for requirement in needed if not requirement.startswith(LARGE)]


def install(python: str, folder: Path) -> Path:
    """Return the Python of an environment in a folder, with the checkout installed to be edited."""
    new = folder / "bin" / "python"
    if not new.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    words = [str(new), "-m", "pip", "install", "-q", "-c", str(CHECKOUT / "constraints.txt")]
    subprocess.run([*words, "-e", f"{CHECKOUT}[{EXTRAS}]", *requirements()], check=True)
    return new


def main() -> int:
    """Install and run the tests; return their exit status."""
    parser = argparse.ArgumentParser(description="Run a part of the tests on another Python.")
    parser.add_argument("python", help="its name or its path")
    parser.add_argument("tests", nargs="*", default=NARROW)
    parser.add_argument("--folder", type=Path, help="of the environment; a temporary one if none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metadescent-") as temporary:
        new = install(given.python, (given.folder or Path(temporary)).absolute())
        words = [str(new), "-m", "pytest", "-q", "-m", "not slow", *given.tests]
        return subprocess.run(words, cwd=CHECKOUT).returncode


if __name__ == "__main__":
    sys.exit(main())
