# Everything runs in .venv, made from the hash-pinned lock; nothing else is needed than Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Boosting and BLAS spin when cores are oversubscribed: one thread per test process.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ATTRITION_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup train serve test test-all ui bench check lock

help:  ## List these targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | sort

setup: .venv/ready  ## Create .venv from the lock file

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Python 3.11 is needed; this is {v[0]}.{v[1]}. Set PYTHON=/path/to/python3.11.")'
	@echo "Setting up .venv from requirements.lock (189 pinned packages, one or two minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --no-build-isolation --no-index -e .
	@touch $@

train: setup  ## Run the main job: from raw data to a champion
	@$(BIN)/attrition train

serve: setup  ## Serve the champion over HTTP on http://127.0.0.1:8000
	@$(BIN)/attrition serve

test: setup  ## Run the fast test suite
	$(ONE_THREAD) $(BIN)/pytest -n 2 -m "not slow and not browser"

test-all: setup  ## Run every test: slow ones, PostgreSQL and the browser too
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist worksteal --durations=15

ui: setup  ## Open the Dagster UI with its daemon on http://127.0.0.1:3000, the dashboard on :3001
	@$(BIN)/attrition ui

bench: setup  ## Run the benchmarks; results go to benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run

check: setup  ## What CI runs: lint, types, import direction, every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test-all

lock: setup  ## Resolve the dependencies anew (needs pip-tools' successor uv on PATH)
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
