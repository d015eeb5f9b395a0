.DEFAULT_GOAL := help
PYTHON ?= python3
WORKSPACE ?= build/demo
HOST ?= 127.0.0.1
PORT ?= 7860
export WORKSPACE HOST PORT

BIN := .venv/bin
# as many processes as the machine has cores, four at most
PARALLEL := --numprocesses logical --maxprocesses 4 --dist worksteal
RUN_READY := .venv/.ready
DEV_READY := .venv/.ready-dev

.PHONY: help setup demo test test-data test-browser check format clean

help: ## What one can do here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(RUN_READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(DEV_READY): pyproject.toml $(RUN_READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(RUN_READY) ## Make .venv and install the package

demo: $(RUN_READY) ## Build the demo shop into WORKSPACE and open the chat at HOST:PORT
	$(BIN)/python app.py

test: $(DEV_READY) ## Run the tests (offline)
	$(BIN)/python -m pytest $(PARALLEL)

test-data: $(DEV_READY) ## Run the tests on real data (MLLM_REC_DATA names the folder)
	$(BIN)/python -m pytest -m data

test-browser: $(DEV_READY) ## Run the tests that open the chat in Chromium
	$(BIN)/python -m pytest -m browser

check: $(DEV_READY) ## The whole gate: format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL)

format: $(DEV_READY) ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what was built; .venv stays
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
