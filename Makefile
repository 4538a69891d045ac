# Habits of the house. `make demo` and `make test` each work by themselves in a fresh clone on Debian with
# Python 3.11, 3.12 or 3.13, make and gcc; everything they make lies in .venv, .cache, build and
# server/build.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
endif
SECONDS ?= 300
LONGLINE_NO_COMPILE ?=
# Tests side by side, twice as many as two processors could run, as they wait more than they work; fewer where each
# of them has a cluster of its own. Those that kill, pause and starve processes run one by one, after the others.
JOBS ?= 4
CLUSTERS ?= 3

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
STAMPS := .cache/stamps

# The installed package is the compiled one; src/ put in front of it is the same code, interpreted.
COMPILED := $(BIN)/python -m pytest
INTERPRETED := PYTHONPATH=src $(BIN)/python -m pytest
UVLOOP := LONGLINE_TEST_LOOP=uvloop
ASYNCIO_DEBUG := LONGLINE_TEST_LOOP=asyncio PYTHONASYNCIODEBUG=1

side_by_side = -n $(1) --dist=worksteal
suite = $(1) $(call side_by_side,$(JOBS)) -m "not adversity" && $(1) -m adversity

export PYTHON LONGLINE_NO_COMPILE
# Where the tests install MQTT.js, axe and pyright, pinned in tests/integration/clients/package.json, when they first
# need them.
export LONGLINE_NODE_MODULES := $(CURDIR)/.cache/clients/node_modules
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup demo run check test test-cluster test-workers test-all test-pythons fuzz soak bench docs site clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(STAMPS)/install ## a virtual environment with Longline in it, its hot path compiled where possible

demo: setup ## a node, devices and pushes, from start to end
	$(BIN)/longline demo

run: setup ## a node on SQLite, its data in ./longline-data
	$(BIN)/longline serve

check: $(STAMPS)/dev ## style, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --cache-dir .cache/import-linter

test: $(STAMPS)/test ## the suite, on the package as installed and on uvloop; minutes
	$(call suite,$(UVLOOP) $(COMPILED))

test-cluster: $(STAMPS)/test ## the end-to-end tests on Redis Cluster, ZooKeeper and ten processes of ours
	$(UVLOOP) $(COMPILED) $(call side_by_side,$(CLUSTERS)) --shape=cluster tests/integration tests/conformance tests/console

test-workers: $(STAMPS)/test ## the end-to-end tests on `longline serve --workers 2`
	$(UVLOOP) $(COMPILED) $(call side_by_side,$(JOBS)) --shape=workers tests/integration

test-all: $(STAMPS)/test ## the suite four times (compiled, interpreted; uvloop, asyncio in debug mode), and every shape
	$(BIN)/longline doctor --require-compiled
	$(call suite,$(UVLOOP) $(COMPILED))
	$(UVLOOP) $(COMPILED) --shape=cluster
	$(UVLOOP) $(COMPILED) --shape=workers
	$(call suite,$(ASYNCIO_DEBUG) $(COMPILED))
	$(call suite,$(UVLOOP) $(INTERPRETED))
	$(call suite,$(ASYNCIO_DEBUG) $(INTERPRETED))

test-pythons: ## the unit tests, interpreted, on each of Python 3.11, 3.12 and 3.13 that this machine has
	for version in 3.11 3.12 3.13; do \
	  python=$$(command -v python$$version) && $$python --version || continue; \
	  $$python -m venv .cache/python$$version; \
	  .cache/python$$version/bin/python -m pip --disable-pip-version-check --quiet install \
	    -r requirements/build.txt -r requirements/run.txt -r requirements/test.txt; \
	  PYTHONPATH=src .cache/python$$version/bin/python -m pytest tests/unit; \
	done

fuzz: $(STAMPS)/test ## random and mutated input for SECONDS seconds
	LONGLINE_FUZZ_SECONDS=$(SECONDS) $(COMPILED) -m fuzz --timeout=0 -s tests/fuzz

soak: $(STAMPS)/test ## churn for SECONDS seconds (3600: the hour), and what holds how much memory and disk meanwhile
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS)

bench: $(STAMPS)/test ## the measurements of benchmarks/README.md, a peer beside us where there is one
	$(BIN)/python benchmarks/compare.py

docs: $(STAMPS)/test ## the pages and pictures that are made from the code, and the site
	$(BIN)/longline config docs --output docs/settings.md
	$(BIN)/python -m tools.commands docs/cli.md
	$(BIN)/python -m tools.dashboards
	$(BIN)/python -m tools.console_pictures docs/console
	$(BIN)/longline demo | tools/picture '$$ make demo' > docs/demo.svg
	$(MAKE) site

site: $(STAMPS)/docs ## all pages as a site in build/site; a link that leads nowhere is an error
	$(BIN)/python -m tools.site

clean: ## back to a fresh clone; data folders stay
	rm -rf .venv .cache build server/build dist

# --- what the targets stand on -----------------------------------------------------------------------------

$(STAMPS)/venv: requirements/build.txt requirements/run.txt tools/system-packages
	tools/system-packages setup
	rm -rf .venv && mkdir -p $(STAMPS)
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements/build.txt -r requirements/run.txt
	touch $@

# A prerequisite that was deleted makes nothing out of date, so the list of sources is itself a source. It also
# holds the one switch that changes what is built from them.
$(STAMPS)/sources: FORCE
	@mkdir -p $(@D)
	@{ echo "LONGLINE_NO_COMPILE=$(LONGLINE_NO_COMPILE)"; find src -type f -not -name '*.pyc' | sort; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

.PHONY: FORCE
FORCE:

# Never an editable install: it would put binaries into src/.
PACKAGING := pyproject.toml setup.py server/pyproject.toml server/setup.py
$(STAMPS)/install: $(STAMPS)/venv $(STAMPS)/sources $(PACKAGING) $(shell find src -type f -not -name '*.pyc')
	rm -f server/build/interpreted.txt
	$(PIP) install --no-deps --no-build-isolation --force-reinstall .
	$(PIP) install --no-deps --no-build-isolation --force-reinstall ./server
	@cat server/build/interpreted.txt 2>/dev/null || true
	touch $@

$(STAMPS)/test: $(STAMPS)/install requirements/test.txt
	tools/system-packages test
	$(PIP) install -r requirements/test.txt
	touch $@

$(STAMPS)/docs: $(STAMPS)/install requirements/docs.txt
	$(PIP) install -r requirements/docs.txt
	touch $@

$(STAMPS)/dev: $(STAMPS)/venv requirements/test.txt requirements/dev.txt
	$(PIP) install -r requirements/test.txt -r requirements/dev.txt
	touch $@
