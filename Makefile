# Python 3.11 or newer and make are all that a machine needs: each target sets up the rest in .venv.
#   make test ARGS="-k unroll"        ARGS goes to the command behind a target that runs one
#   make test PYTHON=python3.12       the Python to build .venv with

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
CONSTRAINTS := constraints.txt
# Bytecode is a sixth of an installation; what the tests import again and again has it at once.
INSTALL := $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c $(CONSTRAINTS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-lowest test-stacks run-stacks test-x64 fresh coverage torture mutants bench lint audit docs format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# What a user installs will do; `make test` adds the rest. Without bytecode it leaves 690 MB, not 725.
demo: $(or $(wildcard $(VENV)/.dev),$(VENV)/.base)  ## Meta-train a small optimizer and compare it with tuned baselines
	PYTHONDONTWRITEBYTECODE=1 $(BIN)/metadescent demo $(ARGS)

# The slowest are named at the end; a test that takes more than 3 s of processor time is marked slow.
# Their many processes are to find bytecode.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/pytest -n 2 --dist worksteal --durations=10 --durations-min=1
test: $(VENV)/.dev  ## Run the tests of every law and door, and the examples, with shapes checked
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(VENV)/.dev  ## Run the long tests too: kills, several processes, every figure
	$(PYTEST) $(ARGS)

# Beside .venv, as most of what it installs is of another version.
test-lowest:  ## Run the tests on the lowest versions that pyproject.toml allows
	@$(MAKE) VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt test

# An extra that pyproject.toml does not have is left out.
STACKS := '.[dev,mlflow,wandb]' accelerate lightning transformers
test-stacks:  ## Run the examples of docs/stacks.md in the libraries that they are for
	@$(MAKE) VENV=.venv-stacks CONSTRAINTS=constraints-stacks.txt run-stacks

run-stacks: $(VENV)/.stacks
	$(PYTEST) tests/stacks $(ARGS)

# How long a test may take is for `make test` to say; 64 bits take longer.
test-x64: export JAX_ENABLE_X64 := 1
test-x64: export METADESCENT_TEST_CPU_SECONDS ?= 60
test-x64: $(VENV)/.dev  ## Run the tests with JAX's 64 bits on
	$(PYTEST) -m "not slow" $(ARGS)

fresh: $(VENV)/.dev  ## Install into a new environment elsewhere, and load the zoo with no network
	$(BIN)/python tools/clean_install.py $(ARGS)

torture: $(VENV)/.dev  ## Try to break it: killed processes, full disks, NaN, hostile files
	$(BIN)/python tools/torture.py $(ARGS)

coverage: $(VENV)/.coverage  ## Run every test and say which lines and branches none of them reached
	$(PYTEST) --cov --cov-report=term $(ARGS)

mutants: $(VENV)/.dev  ## Change the core files, one thing at a time, and see that tests notice
	$(BIN)/python tools/mutants.py $(ARGS)

bench: $(VENV)/.dev  ## Time the meta-step beside plain autodiff, PyTorch and the floor
	$(BIN)/python benchmarks/run.py $(ARGS)

lint: $(VENV)/.dev  ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright src
	$(BIN)/lint-imports

audit: $(VENV)/.audit  ## Look up known vulnerabilities of the versions in constraints.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r constraints.txt

docs: $(VENV)/.docs  ## Build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

format: $(VENV)/.dev  ## Rewrite the code in the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove caches and build products; .venv and runs stay
	rm -rf build dist .coverage .coverage.* docs/_build .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests docs -name __pycache__ -prune -exec rm -rf {} +

# Set-up. A stamp is written last, so an interrupted set-up starts again at the next call.

$(VENV)/.base: pyproject.toml $(CONSTRAINTS)
	@$(MAKE_VENV)
	@echo "Installing JAX and what metadescent needs into $(VENV): 600 MB, once."
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS)
	@$(MAKE_VENV)
	@echo "Installing metadescent and its tools into $(VENV): 2 GB or more, once."
	@$(INSTALL) -e '.[dev]'
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true  # some files are templates
	@touch $@

$(VENV)/.stacks: pyproject.toml constraints.txt $(CONSTRAINTS)
	@$(MAKE_VENV)
	@echo "Installing metadescent and the libraries of docs/stacks.md into $(VENV): 2 GB or more, once."
	@$(INSTALL) -e $(STACKS)
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	@$(INSTALL) -e '.[dev,docs]'
	@touch $@

$(VENV)/.audit: $(VENV)/.dev
	@$(INSTALL) -e '.[dev,audit]'
	@touch $@

$(VENV)/.coverage: $(VENV)/.dev
	@$(INSTALL) -e '.[dev,coverage]'
	@touch $@

# Keep a working .venv; otherwise build one with the first Python that will do.
define MAKE_VENV
is_new='import sys; sys.exit(sys.version_info < (3, 11))'; \
if $(BIN)/python -c "$$is_new" 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1; \
then exit 0; fi; \
for python in $(PYTHONS); do \
    $$python -c "$$is_new" 2>/dev/null || continue; \
    if $$python -c 'import ensurepip, venv' 2>/dev/null; \
    then exec $$python -m venv --clear $(VENV); fi; \
    without_venv=$$python; \
done; \
if [ -n "$$without_venv" ]; \
then echo "$$without_venv cannot create virtual environments: install its venv module" \
    "(python3-venv on Debian and Ubuntu), or name another Python with PYTHON=..." >&2; \
else echo "No Python 3.11 or newer among: $(PYTHONS). Install one, or name it with PYTHON=..." >&2; fi; \
exit 1
endef
