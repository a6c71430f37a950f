# make demo   the main job on examples/ into var/outbox, nothing sent anywhere
# make test   what CI runs: format, lint, types, import contracts, tests
# make bench  figures with their targets, into benchmarks/results/
# make bench-send  whole sending to simulated vendors, up to a million readers: 20 minutes
# make bench-web  events that providers report, a million readers imported, a page among them
# make chaos  a thousand runs each of mail and of posts, in which everything is killed, into benchmarks/results/ (70 minutes)
# make year   a newsletter's year in every time zone, each Sunday of it (ten minutes; YEAR=7 for other chances)
# make soak   the daemon for half an hour: files, PostgreSQL, a vendor, processes killed; MINUTES=N for longer
# make pds    install a real Bluesky server for tests that post to one: 560 MB, two minutes, once
# make lock   pin the newest releases that pyproject.toml allows

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

MINUTES ?= 30

.PHONY: help demo test check format bench bench-send bench-web year soak pds lock clean

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST)

# A stamp a set of requirements: made again only when a pin or the project file changes.
$(VENV)/.run: requirements.txt pyproject.toml deploy/install.sh
	PYTHON=$(PYTHON) deploy/install.sh $(VENV) --editable
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.run
	$(BIN)/distributor demo

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n 2

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

bench-send: $(VENV)/.dev
	$(BIN)/python -m benchmarks.send

bench-web: $(VENV)/.dev
	$(BIN)/python -m benchmarks web

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.chaos.posting --runs 1000

year: $(VENV)/.dev
	YEAR=$${YEAR:-1} $(BIN)/python -m pytest tests/test_year.py

soak: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES)

pds:
	tests/providers/pds/prepare.sh

lock: $(VENV)/.dev
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --quiet pyproject.toml --group build -o requirements.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --quiet pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
