# `make` lists the targets. Nothing has to be set up: the first target that needs .venv makes it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; the lock is made for 3.11, so that comes first.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PORT ?= 8080
DATA_DIR ?= .data
PACK ?= cn-city
# For `mutants`: a run that was stopped, or that this many seconds have ended, continues at the next call.
N ?= 600
SEED ?= 1
SECONDS_AT_MOST ?= inf
# For `run` alone: these names have other meanings for tests and services.
unexport PORT DATA_DIR PACK
# KAFKA_PORT, KAFKA_BOOTSTRAP, DATABASE_URL and SMTP_URL are passed on when they are set.

BIN := .venv/bin
INSTALLED := .venv/installed
COMPOSE := docker compose -f deploy/docker-compose.yml
PYTEST := $(BIN)/python -m pytest -q --durations=15
# A file's tests stay together: they share its database and topics. Each worker has its own pair of servers. Three
# workers keep two cores busy: integration tests wait a third of their time, and unit tests fill the gaps.
PARALLEL := $(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder

##@ Try it
.PHONY: run
run: $(INSTALLED)  ## a sample city at http://127.0.0.1:8080; Ctrl-C stops it and keeps its data in .data
	@exec $(BIN)/civicloom run --port "$(PORT)" --data-dir "$(DATA_DIR)" --pack "$(PACK)"

##@ Test it
.PHONY: test test-unit test-integration test-scenarios test-browser test-containers chaos chaos-short mutants bench
test: $(INSTALLED)  ## unit, property, contract and integration tests, on their own PostgreSQL and Kafka
	@$(PARALLEL) tests/integration tests/unit tests/contract tests/property

test-unit: $(INSTALLED)  ## unit, contract and property tests; they need no broker
	@$(PYTEST) -n 2 tests/unit tests/contract tests/property

test-integration: $(INSTALLED)  ## tests on PostgreSQL and Kafka
	@$(PARALLEL) tests/integration

test-scenarios: $(INSTALLED)  ## whole cities: `make run` as a stranger meets it, and 14,000 real rows
	@$(PARALLEL) tests/scenarios

test-browser: $(INSTALLED)  ## every page in a real Chromium; CHROMIUM= names one
	@$(BIN)/python -m tests.browser.chromium
	@$(PYTEST) tests/browser

test-containers: $(INSTALLED)  ## the integration suite on containers; needs a Docker engine
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers: start one, or use make test" >&2; exit 1; }
	@$(PYTEST) -s tests/containers

chaos: $(INSTALLED)  ## an hour of faults of every kind, then a check of the whole history; CHAOS_SECONDS, CHAOS_SEED
	@CHAOS=long $(PYTEST) tests/chaos

chaos-short: $(INSTALLED)  ## the same in ten minutes, each fault once
	@CHAOS=short $(PYTEST) tests/chaos

mutants: $(INSTALLED)  ## breaks N lines of the pure code, drawn by SEED, one at a time: tests must notice
	@$(BIN)/python -m checks.mutants --count $(N) --seed "$(SEED)" --seconds $(SECONDS_AT_MOST)

bench: $(INSTALLED)  ## measures throughput and latency beside the floor of the machine
	@exec $(BIN)/python -m bench

##@ Check it
.PHONY: check lint types imports contracts-check rules contracts lock
check: lint types imports contracts-check rules  ## all checks of the code and the repository

lint: $(INSTALLED)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED)  ## mypy --strict; tests less strictly
	@$(BIN)/mypy

imports: $(INSTALLED)  ## import rules between layers and services
	@$(BIN)/lint-imports

contracts-check: $(INSTALLED)  ## contracts/ matches the models and stays compatible
	@$(BIN)/civicloom contracts check

rules: $(INSTALLED)  ## our own checks: function sizes, words, commit messages
	@failed=; for check in function_size words commit_messages; do \
		$(BIN)/python -m checks.$$check || failed=yes; done; [ -z "$$failed" ]

contracts: $(INSTALLED)  ## generate contracts/ from the models
	@$(BIN)/civicloom contracts write

lock:  ## pin requirements/*.in again, with hashes; needs uv
	@for part in base trial local dev docs; do \
		uv pip compile --quiet --generate-hashes --no-header --python-version 3.11 \
			requirements/$$part.in -o requirements/$$part.txt; done

##@ Document it
.PHONY: docs
docs: .venv/docs-installed  ## docs/ as a site in docs/_build; broken links fail, and the commands shown are run
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs . docs/_build
	@$(PYTEST) tests/docs

##@ Operate it
.PHONY: up down
up: deploy/.env  ## Docker Compose: Kafka, PostgreSQL, the services, Caddy, Prometheus
	@$(COMPOSE) up --build --wait
	@echo "Civicloom answers at $$(sed -n 's/^PUBLIC_URL=//p' deploy/.env)"

down:  ## stop what `make up` started, and keep the data
	@$(COMPOSE) down

deploy/.env:
	@umask 077; secret=$$(openssl rand -hex 32); settings="s/^SECRET_KEY=.*/SECRET_KEY=$$secret/"; \
	for name in POSTGRES PUBLISHER INQUIRY ROUTING AUDIT; do \
		password=$$(openssl rand -hex 16); settings="$$settings; s/^$${name}_PASSWORD=.*/$${name}_PASSWORD=$$password/"; done; \
	sed "$$settings" deploy/.env.example > $@.new; mv $@.new $@
	@echo "made deploy/.env with new secrets; review it before others use this installation"

##@ Housekeeping
.PHONY: clean help
clean:  ## remove the virtual environment, caches and the data of `make run` in .data
	@if [ -L .data/postgres/data ]; then rm -rf "$$(readlink -f .data/postgres/data)"; fi
	@rm -rf .venv .cache .data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info

help:
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z-]*:.*## / {sub(/:.*/, "", $$1); printf "  make %-17s %s\n", $$1, $$2}' Makefile
	@printf '\n%s\n' "Settings: PORT, KAFKA_PORT, DATA_DIR, PACK; KAFKA_BOOTSTRAP and DATABASE_URL use servers that run already."

# pip reports each fetch on a line; a count of packages says how far it is. Nothing is compiled beforehand:
# Python compiles the few modules that are used when it first imports them.
$(INSTALLED): requirements/dev.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Civicloom needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(f"Civicloom needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}" if sys.version_info < (3, 11) else 0)'
	@echo "installing what requirements/dev.txt locks into .venv; this may take some minutes, once"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "making .venv failed; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile \
		--require-hashes -r requirements/dev.txt \
		| awk -v all="$$(grep -c '==' requirements/dev.txt)" ' \
			/^(Collecting|Requirement already)/ {if (++n % 10 == 0) {printf "  %d of %d packages\n", n, all; fflush()}} \
			/^Installing/ {print "  unpacking"; fflush()}'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/docs-installed: $(INSTALLED) requirements/docs.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements/docs.txt
	@touch $@
