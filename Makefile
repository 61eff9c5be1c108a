# Every command of a developer's day, one line each. `make demo` and `make test` need nothing but this checkout.
.DEFAULT_GOAL := help
.PHONY: help setup assets picture demo test unit fuzz e2e faults wheelhouse bench bench-cloud match-report pattern-report scoring-report env-example lint fmt lock clean
BIN := .venv/bin
PYTHON ?= python3
READY := .venv/.ready
ASSETS := cloudapi/web/vendor/htmx.min.js
# Tests wait more than they reckon: one process more than the smallest machine has cores.
JOBS ?= 3

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(READY): .locks/dev.txt pyproject.toml
	@PYTHON=$(PYTHON) sh .ci/setup venv

# Without npm the dashboard works too, with less comfort: said, and no reason to stop.
$(ASSETS): .locks/assets.json
	-@$(PYTHON) .ci/assets.py && touch $(ASSETS)

assets: ## htmx and uPlot for the dashboard, axe-core for its tests: by hash from the lock, with npm
	@$(PYTHON) .ci/assets.py && touch $(ASSETS)

setup: $(READY) $(ASSETS) ## .venv from hash-locked requirements; as root also Debian's mosquitto, redis and tmux for the tests
	@sh .ci/setup packages

demo: $(READY) $(ASSETS) ## the main job once, on embedded defaults (LIVE=1 real venues, KEEP=1 leave it running, RECORDINGS=DIR)
	@$(BIN)/python -m tests.demo $(if $(LIVE),--live) $(if $(KEEP),--keep) $(if $(RECORDINGS),--recordings $(RECORDINGS))

test: setup lint ## everything but the machine tests
	$(BIN)/pytest -n $(JOBS) --dist worksteal

unit: $(READY) ## the pure tests alone: seconds
	$(BIN)/pytest -q tests/unit

fuzz: $(READY) ## the property tests with cases nobody has seen yet (a failure prints how to see it again)
	HYPOTHESIS_PROFILE=random $(BIN)/pytest -n $(JOBS) --dist worksteal -m hypothesis

faults: setup ## sync under every fault of docs/faults.md, with a table; JSON in .bench/ (SEEDS=20 how many of each; needs root for some)
	@sh .ci/setup faults
	FAULT_SEEDS=$(or $(SEEDS),5) $(BIN)/pytest -q -p no:cacheprovider tests/faults -o timeout=0

e2e: setup ## as root: a bare Debian is booted, provisioned by the Ansible role, and lives through its bad days
	@sh .ci/e2e

wheelhouse: $(READY) ## what hosts install from, into .cache/wheelhouse (PYTHONS="3.11 3.13", ARCHES="x86_64 aarch64", REGISTRY=1, UV=1)
	@$(BIN)/python ansible/wheelhouse.py $(PYTHONS:%=--python %) $(ARCHES:%=--arch %) $(if $(REGISTRY),--registry) $(if $(UV),--uv)

pattern-report: $(READY) ## what the detectors find in recorded series, and in their nulls
	@$(BIN)/python -m tests.report.patterns

scoring-report: $(READY) ## what each measure of the benchmark says of forecasters without skill, and its power
	@$(BIN)/python -m tests.report.scoring

# Memory as the unit sets it (systemd/oddsd.service).
bench: $(READY) ## speed and memory, each beside a baseline of the same run; JSON in .bench/
	@MALLOC_MMAP_THRESHOLD_=262144 $(BIN)/python -m tests.bench

picture: $(READY) $(ASSETS) ## the README's picture of the dashboard, docs/dashboard.png, from the demo (needs Chromium)
	@$(BIN)/python -m tests.report.picture

env-example: $(READY) ## .env.example anew, from the settings and their docs
	@$(BIN)/python -m tests.report.environment

bench-cloud: $(READY) ## the cloud's figures beside baselines; JSON in .bench/cloud.json (ROWS=10000000 as large as its goals)
	@$(BIN)/python -m tests.bench.cloud $(if $(ROWS),--rows $(ROWS))

match-report: $(READY) ## precision and recall of matching on labelled pairs, both halves; JSON in .bench/ (PAIRS=1 each disagreement)
	@$(BIN)/python -m tests.report.matching $(if $(PAIRS),--pairs)

lint: $(READY) ## ruff and mypy strict
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fmt: $(READY) ## let ruff arrange the code
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: $(READY) ## pin the newest allowed versions with hashes for all platforms (needs uv)
	sh .ci/lock

clean: ## forget everything that can be made again
	rm -rf .venv .demo .bench .screens .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis cloudapi/web/vendor
