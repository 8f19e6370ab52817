# The workshop. `make demo` shows what Headwater does; `make test` and `make check` say whether it still does.
# Everything is installed into $(VENV), made with $(PYTHON); nothing else on the machine is touched.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --constraint constraints.txt
# Two test processes: the suite's longest tests wait for databases and processes that were killed.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench stress pictures clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headwater needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# What a user of the demo needs, and what a developer needs. A stamp is older than its inputs when something must be installed anew.
$(VENV)/.demo-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing Headwater and what it needs into $(VENV); the first time this takes a minute or two'
	@$(INSTALL) --editable '.[all,demo]'
	@touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing Headwater and the tools of its workshop into $(VENV); the first time this takes a minute or two'
	@$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.demo-installed

demo: $(VENV)/.demo-installed  ## a year of flights: loaded, checked, transformed, published, queried
	@HEADWATER=$(abspath $(BIN)/headwater) sh docs/demo.sh $(DEMO)

test: $(VENV)/.dev-installed  ## all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(VENV)/.dev-installed  ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev-installed  ## lay the code out as `make check` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev-installed  ## the figures of benchmarks/results.md, measured here
	$(BIN)/python benchmarks/run.py

stress: $(VENV)/.dev-installed  ## the long rounds of the crash suite; their figures go to benchmarks/results.md
	$(BIN)/python benchmarks/run.py crash

pictures: $(VENV)/.dev-installed  ## docs/images/, from a real run
	$(BIN)/python docs/make_pictures.py

clean:  ## remove what make made: environments, the demo, caches
	rm -rf $(VENV) .ci-venv $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -maxdepth 1 -name '*.egg-info' -exec rm -rf {} +
