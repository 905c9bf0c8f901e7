# Every target sets up .venv by itself. PYTHON=python3.12 chooses another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
SHELL := /bin/bash
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint format docs bench soak clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo    generate data with the embedded model, from nothing"
	@echo "make test    run the tests"
	@echo "make lint    ruff and strict mypy"
	@echo "make format  let ruff format and fix"
	@echo "make docs    write every key of the configuration into docs/configuration.md"
	@echo "make bench   run the benchmarks, and write their tables into README.md and docs/"
	@echo "make soak    an hour of decisions against brute force, two of killed runs against the server's log, one of hostile input"
	@echo "make clean   remove .venv and caches (runs/ stays)"

demo: $(VENV)/local.stamp
	$(BIN)/fastinstruct run --out runs/demo --target 25

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.stamp
	$(BIN)/python tests/configuration_tables.py

bench: $(VENV)/bench.stamp
	mkdir -p benchmarks/results
	set -o pipefail; for command in runtime.goals runtime.slot_use "similarity.growth --largest 10000000" similarity.shapes \
	  similarity.peers similarity.peers_long; do \
	  set -- $$command; name=$$1; shift; \
	  $(BIN)/python -m benchmarks.$$name "$$@" | tee benchmarks/results/$$name.json || exit 1; \
	done
	$(BIN)/python -m benchmarks.readme benchmarks/results/*.json

soak: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.soak.decisions --minutes 60
	$(BIN)/python -m benchmarks.soak.runs --minutes 120
	$(BIN)/python -m benchmarks.soak.hostile --minutes 60

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "FastInstruct needs Python 3.11 or newer; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/local.stamp: $(VENV)/pip.stamp pyproject.toml
	$(PIP) -e '.[local]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/pip.stamp pyproject.toml
	$(PIP) -e '.[dev,local]'
	touch $@

$(VENV)/bench.stamp: $(VENV)/pip.stamp pyproject.toml
	$(PIP) -e '.[dev,local,bench]'
	touch $@
