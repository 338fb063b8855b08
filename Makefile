# SPDX-License-Identifier: Apache-2.0
# `make help` lists what there is. Everything runs in ./.venv, which is made on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORNER := .venv-corner
RIVALS := .venv-bench
CELERY := .venv-celery
# The day as of which the corner (Python 3.10 + Airflow 3.1.0) is resolved.
CORNER_DATE := 2025-11-20
# ... but for the one provider whose floor is younger than that.
COMPAT_DATE := 2026-02-01
PYTEST := $(BIN)/python -m pytest
# Tests that share nothing run side by side, one process a core.
SIDE_BY_SIDE := -n auto

# Airflow starts many processes: without bytecode each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# The suite talks to servers on this machine only.
export NO_PROXY := 127.0.0.1,localhost
export no_proxy := $(NO_PROXY)

.DEFAULT_GOAL := setup
.PHONY: help setup demo live test test-unit test-integration test-chaos test-e2e test-browser screenshots e2e-kill e2e-celery matrix churn test-corner figures chaos mutants lint format bench bench-import bench-land bench-campaign bench-tables bench-rivals bench-watch build lock clean bench-derivatives docs coverage check-package

help:  ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## .venv with everything that development needs (PYTHON=python3.12 chooses the interpreter)

$(VENV)/.ready: requirements/uv.txt requirements/dev.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(VENV) requirements/dev.txt '$(PYTHON)'
	@touch $@

ifneq ($(origin PYTHON),file)
# Somebody named an interpreter: is .venv made with it?
$(VENV)/.ready: FORCE
endif
.PHONY: FORCE
FORCE:

demo: setup  ## real Airflow, a local Runflow and a local S3: nine pictures (ONCE=1 exits after them; LIVE=1 costs money)
	@$(BIN)/python -m compileall -q airflow_provider_runflow dags scripts
	@ONCE='$(ONCE)' LIVE='$(LIVE)' YES='$(YES)' $(BIN)/python -m scripts.demo

test: test-unit test-integration test-chaos test-e2e  ## all tests on this Python: unit, integration, chaos, end to end

test-unit: setup  ## fast tests (tests/unit, the same tree as the package)
	@echo '== unit tests: tests/unit'
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit

test-integration: setup  ## real HTTP to the emulator, a real S3 API (tests/integration, tests/contract)
	@echo '== integration tests: tests/integration tests/contract'
	$(PYTEST) $(SIDE_BY_SIDE) tests/integration tests/contract

test-chaos: setup  ## a few hundred seeded trials, and each mutant caught (tests/chaos)
	@echo '== chaos tests: tests/chaos'
	$(PYTEST) $(SIDE_BY_SIDE) tests/chaos

test-e2e: setup  ## real Airflow processes (tests/e2e); on failure their logs are named
	@echo '== end-to-end tests: tests/e2e'
	$(PYTEST) tests/e2e

test-browser: setup  ## Pictures and approvals in a real Airflow and the system's Chromium (not part of make test); screenshots in build/screenshots
	@echo '== browser tests: tests/browser'
	VIRTUAL_ENV='$(abspath $(VENV))' $(BIN)/uv pip install --quiet --require-hashes -r requirements/browser.txt
	$(PYTEST) tests/browser

screenshots: test-browser  ## the pictures of the UI in the documentation, from what the browser tests saw (docs/screenshots)
	@$(BIN)/python -m scripts.screenshots

e2e-celery: $(CELERY)/.ready  ## 250 pictures through PostgreSQL, Redis and Celery, two of everything, while parts of it are killed -9 (5 minutes)
	@$(CELERY)/bin/python -m compileall -q airflow_provider_runflow scripts tests
	@$(CELERY)/bin/python -m scripts.e2e_celery

$(CELERY)/.ready: requirements/uv.txt requirements/celery.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(CELERY) requirements/celery.txt '$(PYTHON)'
	@touch $@

churn: setup  ## does the triggerer grow while runs come and go? (MINUTES=30), as JSON
	@$(BIN)/python -m compileall -q airflow_provider_runflow scripts tests
	@MINUTES='$(MINUTES)' $(BIN)/python -m scripts.churn

e2e-kill: setup  ## thirty pictures while busy processes of a real Airflow are killed -9 (SEED=1; 2-3 minutes)
	@$(BIN)/python -m compileall -q airflow_provider_runflow scripts tests
	@SEED='$(SEED)' $(BIN)/python -m scripts.e2e_kill

matrix: $(VENV)/.quality  ## unit and integration tests on Python 3.10 to 3.13 with Airflow 3.1, 3.2 and 3.3 (20-40 minutes); what was skipped, and why
	@rm -rf build/matrix
	@mkdir -p build/matrix
	@for version in 3.10 3.11 3.12 3.13; do \
	    found=$$(scripts/find_python.sh $$version) && PATH="$$(dirname "$$found"):$$PATH"; \
	done; PATH="$(abspath $(BIN)):$$PATH" UV_PYTHON_DOWNLOADS=never $(BIN)/nox --error-on-missing-interpreters; \
	status=$$?; $(BIN)/python -m scripts.matrix_report build/matrix && exit $$status

figures: setup  ## campaigns of up to 10,000 runs on good and bad days, held against the ledger; JSON lines in build/figures.jsonl (10-20 minutes)
	@rm -f build/figures.jsonl
	FIGURES=full $(PYTEST) $(SIDE_BY_SIDE) tests/unit/operators/test_campaign_figures.py
	@cat build/figures.jsonl

live: setup  ## the contract tests against the real Runflow, with RUNFLOW_API_KEY: a few cents (asks first; YES=1 answers)
	@YES='$(YES)' $(BIN)/python -m scripts.live

test-corner:  ## the unit tests on the oldest corner: Python 3.10 + Airflow 3.1.0 (.venv-corner)
	@python310=$$(scripts/find_python.sh 3.10) || { \
	    echo 'test-corner: SKIPPED, there is no Python 3.10 on this machine.'; \
	    if [ "$$CI" = true ]; then echo 'test-corner: CI must run it, so this is a failure.'; exit 1; fi; exit 0; }; \
	$(MAKE) --no-print-directory $(CORNER)/.ready PYTHON310="$$python310" && \
	echo '== unit tests on Python 3.10 + Airflow 3.1.0: tests/unit' && \
	$(CORNER)/bin/python -m pytest $(SIDE_BY_SIDE) tests/unit

$(CORNER)/.ready: requirements/uv.txt requirements/corner.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(CORNER) requirements/corner.txt '$(PYTHON310)'
	@touch $@

chaos: setup  ## 10,000 trials of crashes and lost replies: who paid what (SEED=1 TRIALS=10000), one JSON line
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --trials $(or $(TRIALS),10000)

bench-rivals: setup  ## the same trials for this package and for what people would use instead (SEED=1 TRIALS=1000), as JSON
	@$(BIN)/python -m benchmarks.rivals --seed $(or $(SEED),1) --trials $(or $(TRIALS),1000)

bench-watch: setup  ## what waiting for thousands of runs costs, here and in the ways of others (FULL=1: all), as JSON
	@$(BIN)/python -m compileall -q airflow_provider_runflow benchmarks
	@FULL='$(FULL)' $(BIN)/python -m benchmarks.watch

mutants: setup  ## take one fence at a time out of the package: do the trials notice?
	@$(BIN)/python -m tests.chaos.mutants --seed $(or $(SEED),1)

lint: $(VENV)/.quality  ## ruff, mypy, import-linter, dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-compiled $(RIVALS)/.ready  ## every benchmark, as JSON and in ./bench-output (FULL=1: all of it, an hour and more)
	@FULL='$(FULL)' $(BIN)/python -m benchmarks $(RIVALS)/bin/python

ifneq ($(filter-out 0,$(FULL)),)
bench-import: bench-compiled $(RIVALS)/.ready  ## what importing an operator adds to airflow.sdk, as JSON (FULL=1: beside other providers)
	@$(BIN)/python -m benchmarks.imports $(RIVALS)/bin/python
else
bench-import: bench-compiled
	@$(BIN)/python -m scripts.bench_import
endif

bench-land: bench-compiled  ## pictures from HTTP to S3, against requests + S3Hook.load_bytes (FULL=1: more of them), as JSON
	@FULL='$(FULL)' $(BIN)/python -m benchmarks.land

bench-campaign: bench-compiled  ## a campaign in one batch task against mapped tasks, in a real Airflow (FULL=1: up to 5,000)
	@FULL='$(FULL)' $(BIN)/python -m benchmarks.campaign

bench-tables:  ## docs/performance.md from benchmarks/results (KEEP=1: take over ./bench-output first)
	@$(BIN)/python -m benchmarks.tables $(if $(KEEP),--keep)

.PHONY: bench-compiled
bench-compiled: setup
	@$(BIN)/python -m compileall -q airflow_provider_runflow benchmarks scripts

$(RIVALS)/.ready: requirements/uv.txt requirements/bench.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(RIVALS) requirements/bench.txt '$(PYTHON)'
	@touch $@

bench-derivatives: setup  ## exact channel sizes against Pillow's own ImageOps.fit: time, memory, bytes, as JSON
	@$(BIN)/python -m benchmarks.derivatives

docs: setup  ## the documentation as pages in build/docs (Python 3.11 or newer; installs Sphinx the first time); a warning is an error
	@VIRTUAL_ENV='$(abspath $(VENV))' $(BIN)/uv pip install --quiet --require-hashes -r requirements/docs.txt
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs build/docs
	@echo 'docs: open build/docs/index.html'

$(VENV)/.quality: $(VENV)/.ready requirements/quality.txt
	@VIRTUAL_ENV='$(abspath $(VENV))' $(BIN)/uv pip install --quiet --require-hashes -r requirements/quality.txt
	@touch $@

coverage: $(VENV)/.quality  ## branch coverage of the unit tests: all of it in build/coverage, and the floors below Airflow must reach 95 %
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q tests/unit
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet -d build/coverage
	@$(BIN)/coverage report --skip-covered | tail -60
	@echo '== the floors that do not import Airflow'
	@$(BIN)/coverage report --fail-under=95 --include='airflow_provider_runflow/brief/*,airflow_provider_runflow/client/*,airflow_provider_runflow/landing/*,airflow_provider_runflow/models/*,airflow_provider_runflow/runs/*,airflow_provider_runflow/e*.py,airflow_provider_runflow/outcomes.py'

check-package: $(VENV)/.quality  ## wheel and source distribution: built, checked, installed beside Airflow alone; bill of materials and licences in dist
	@BIN='$(BIN)' scripts/check_package.sh

build: setup  ## wheel and source distribution in ./dist
	@rm -rf dist
	$(BIN)/python -m hatchling build

lock: setup  ## resolve requirements/*.in again (newest versions that fit)
	@BIN='$(BIN)' CORNER_DATE='$(CORNER_DATE)' COMPAT_DATE='$(COMPAT_DATE)' scripts/lock.sh

clean:  ## remove what was built and cached; pictures in ./demo-output and the environments stay
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find airflow_provider_runflow dags scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
