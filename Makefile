# `make run` and `make test` work on a fresh machine: each creates .venv with pip when it is missing.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The suites that take minutes: RUN_ARGS= runs the full ones.
RUN_ARGS ?= tests=quick detectors=quick

.PHONY: run test test-all lint docs clean-env

run: $(VENV)/.ready
	$(BIN)/python -m wwdc.run experiments/digits_flow $(RUN_ARGS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-all: $(VENV)/.ready
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/mypy

# Into build/site, without the network; a link or anchor that leads nowhere is an error, which --quiet
# would hide. To read it with its search: python3 -m http.server --directory build/site
docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("wwdc needs Python 3.11 or newer: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean-env:
	rm -rf $(VENV)
