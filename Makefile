# make demo    sets up everything it needs, then runs the main job and shows it
# make test    sets up everything it needs, runs the tests
# make help    the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
APPROVE ?= wait
MESH ?= emulated
LOCKING := --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help install demo test bounds bluez e2e bench check crds image lock clean

help: ## what can be made
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "the Debian package python3-venv is missing"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMP) ## virtual environment with everything of the lock

demo: install ## the whole loop without a cluster (APPROVE=auto: no human needed; MESH=bluez: on real mesh daemons)
	$(BIN)/meshtwin demo --mesh $(MESH) --approve $(APPROVE) --once

test: install ## unit, contract and integration tests
	$(BIN)/pytest -q --numprocesses 2 --dist loadfile

bluez: install ## the whole loop on bluetooth-meshd, in real time: under five minutes
	$(BIN)/pytest -q -m real_time --durations=5 tests/integration

bounds: install ## the tests of compiled engine and fast model with array bounds checked
	NUMBA_BOUNDSCHECK=1 $(BIN)/pytest -q --numprocesses 2 --dist loadfile tests/unit/fast tests/unit/sim/test_compiled.py tests/unit/sim/test_engines_agree.py tests/unit/sim/test_engines_agree_on_transport.py tests/unit/sim/test_reception_laws.py

check: install ## format, lint, types, floors, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m meshtwin_operator.resources.generate --check
	$(BIN)/python -m meshtwin.contract.generate --check
	$(BIN)/python -m meshtwin.sim.scenario_keys --check

crds: install ## generate CRDs, schemas and the page of scenario keys from the models
	$(BIN)/python -m meshtwin_operator.resources.generate
	$(BIN)/python -m meshtwin.contract.generate
	$(BIN)/python -m meshtwin.sim.scenario_keys

image: install ## build the image meshtwin:dev without Docker
	$(BIN)/python -m tests.cluster build-image --tag meshtwin:dev --output .image/meshtwin.tar

e2e: install ## find or make a Kubernetes, install, run the story through kubectl
	$(BIN)/python -m tests.e2e

bench: install ## measure; prints a table, writes bench.json
	$(BIN)/python -m tests.benchmarks

lock: ## resolve pyproject.toml again into the lock files
	$(BIN)/uv pip compile $(LOCKING) --group dev --output-file requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCKING) --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml

clean: ## remove what was made here
	rm -rf $(VENV) .image .mypy_cache .ruff_cache .pytest_cache .hypothesis bench.json
