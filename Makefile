# Two commands do everything on a fresh machine with Python 3.11, pip, git and make:
#   make run    the sample company, from events and a legacy export to destinations
#   make test   the tests
# Both install what they need into .venv first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := .ci/lock
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export RUNTIME__DLTHUB_TELEMETRY := false
export DAGSTER_DISABLE_TELEMETRY := yes
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run ui test test-slow test-all lint format parity sdks drt bench lock clean install install-dev

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.run: $(LOCK)/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed, $(PYTHON) is another version; install it or run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK)/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run $(LOCK)/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK)/dev.txt
	touch $@

install: $(VENV)/.run
install-dev: $(VENV)/.dev

run: install ## the main job: sample company (or your sources) to destinations, with a summary
	$(BIN)/cdp run

ui: install ## the Dagster UI on http://127.0.0.1:3000, with the runs already there
	$(BIN)/cdp ui

test: install-dev ## the tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not slow and not long"

test-slow: install-dev ## the tests that take too long for `make test`, as CI runs them after it
	$(BIN)/python -m pytest -n 2 --dist load --timeout 900 -m "slow and not long"

test-all: install-dev ## all of these and the long campaigns
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --timeout 900

lint: install-dev ## ruff, mypy --strict, import-linter, contracts, identity rules, owners, sqlfluff, dbt parse
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cdp contracts check
	$(BIN)/cdp identity check
	$(BIN)/cdp dbt parse --quiet
	$(BIN)/cdp owners --missing
	CDP_WAREHOUSE_PATH=:memory: DBT_TARGET_PATH=$(CURDIR)/var/dbt/lint DBT_LOG_PATH=$(CURDIR)/var/dbt/logs \
	  $(BIN)/sqlfluff lint dbt_project/models dbt_project/tests --disable-progress-bar

format: install-dev ## let ruff and sqlfluff rewrite what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	CDP_WAREHOUSE_PATH=:memory: DBT_TARGET_PATH=$(CURDIR)/var/dbt/lint DBT_LOG_PATH=$(CURDIR)/var/dbt/logs \
	  $(BIN)/sqlfluff fix dbt_project/models dbt_project/tests --disable-progress-bar

parity: install-dev ## build the sample's models on Spark Connect and compare every mart row for row
	$(BIN)/python -m tests.parity

sdks: install-dev .venv-sdks/.sdks ## send to a collector with the real SDKs of Segment, RudderStack, PostHog, Snowplow
	$(BIN)/python -m pytest tests/sdks -rs

.venv-sdks/.sdks: $(LOCK)/sdks.txt
	test -x .venv-sdks/bin/python || $(PYTHON) -m venv .venv-sdks
	.venv-sdks/bin/python -m pip install --quiet --require-hashes -r $(LOCK)/sdks.txt
	mkdir -p var/sdks
	if command -v npm >/dev/null; then cd var/sdks && npm install --no-save --no-fund --no-audit --ignore-scripts --silent \
	  @segment/analytics-node@3.1.0 @rudderstack/rudder-sdk-node@3.0.13 @segment/analytics-next@1.81.1 \
	  || echo "npm could not install the SDKs for Node and the browser: their tests are skipped." >&2; fi
	touch $@

drt: .venv-drt/.drt ## install drt-core, the peer that `make bench` measures beside ours

.venv-drt/.drt: $(LOCK)/drt.txt
	test -x .venv-drt/bin/python || $(PYTHON) -m venv .venv-drt
	.venv-drt/bin/python -m pip install --quiet --require-hashes -r $(LOCK)/drt.txt
	touch $@

bench: install-dev ## measure every stage against its bare limit
	$(BIN)/python -m tests.benchmarks

lock: ## renew the hashed lock files (needs uv)
	cd $(LOCK) && for name in dev run parity sdks drt; do \
	  uv pip compile --python-version 3.11 --generate-hashes --no-annotate --no-header --no-strip-extras --quiet \
	    $$( [ $$name = run ] && echo "-c dev.txt" ) $$name.in -o $$name.txt; done

clean: ## remove everything a run wrote (var/) and the environments
	rm -rf var $(VENV) .venv-parity .venv-sdks .venv-drt
