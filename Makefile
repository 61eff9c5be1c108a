# Every command of a developer's day, one line each. `make demo` and `make test` need nothing but this checkout.
.DEFAULT_GOAL := help
.PHONY: help setup demo test unit e2e bench match-report pattern-report scoring-report lint fmt lock clean
BIN := .venv/bin
PYTHON ?= python3
READY := .venv/.ready

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(READY): .locks/dev.txt pyproject.toml
	@PYTHON=$(PYTHON) sh .ci/setup venv

setup: $(READY) ## .venv from hash-locked requirements; as root also Debian's mosquitto, redis and tmux for the tests
	@sh .ci/setup packages

demo: $(READY) ## the main job once, on embedded defaults (LIVE=1 real venues, KEEP=1 leave it running, RECORDINGS=DIR)
	@$(BIN)/python -m tests.demo $(if $(LIVE),--live) $(if $(KEEP),--keep) $(if $(RECORDINGS),--recordings $(RECORDINGS))

test: setup lint ## everything but the slow machine tests
	$(BIN)/pytest

unit: $(READY) ## the pure tests alone: seconds
	$(BIN)/pytest -q tests/unit

e2e: setup ## processes from start to stop
	$(BIN)/pytest tests/e2e

pattern-report: $(READY) ## what the detectors find in recorded series, and in their nulls
	@$(BIN)/python -m tests.report.patterns

scoring-report: $(READY) ## what each measure of the benchmark says of forecasters without skill, and its power
	@$(BIN)/python -m tests.report.scoring

bench: $(READY) ## speed and memory, each beside a baseline of the same run; JSON in .bench/
	@$(BIN)/python -m tests.bench

match-report: $(READY) ## precision and recall of matching on labelled pairs, both halves; JSON in .bench/ (PAIRS=1 each disagreement)
	@$(BIN)/python -m tests.report.matching $(if $(PAIRS),--pairs)

lint: $(READY) ## ruff and mypy strict
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fmt: $(READY) ## let ruff arrange the code
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: $(READY) ## pin the newest allowed versions with hashes for all platforms (needs uv)
	sh .ci/lock

clean: ## forget everything that can be made again
	rm -rf .venv .demo .bench .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
