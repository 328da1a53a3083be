.DEFAULT_GOAL := help
PY := .venv/bin/python

.PHONY: help setup setup-tests demo test test-later check docs bench fuzz lock sync-client schema metrics-pages clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## install what running needs (Debian packages, .venv)
	@scripts/setup

setup-tests:  ## install what testing needs as well
	@scripts/setup --tests

demo: setup  ## start the platform, place a call through a 700 number, show both sides
	@.venv/bin/qibai demo

test: setup-tests  ## run every test, TEST_WORKERS files at once (default 2)
	@$(PY) -m pytest -n $${TEST_WORKERS:-2} --dist loadfile

# What asks the date: rules and units, bindings, papers, messages, calls, the pages of the docs.
LATER_FILES ?= tests/unit tests/property/test_pilot_life.py tests/integration/test_api_bindings.py \
	tests/integration/test_cli_resources.py tests/integration/test_code_files.py tests/integration/test_standing.py \
	tests/integration/test_cmpp_server.py tests/integration/test_smpp_node_centre.py tests/e2e/test_smpp.py \
	tests/e2e/test_cmpp_smpp.py tests/e2e/test_trace_call.py

test-later: setup-tests  ## run every test with the clock 400 days ahead (LATER=+40d: by so much; LATER_PART=1: a part)
	@scripts/later $(PY) -m pytest -n $${TEST_WORKERS:-2} --dist loadfile $(if $(LATER_PART),$(LATER_FILES))

check: setup-tests  ## lint, format, types, import rules, dead code, what is generated, the documentation without warnings
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m vulture
	@$(PY) scripts/sync_client.py --check
	@$(PY) scripts/schema.py --check
	@$(PY) scripts/metrics_pages.py --check
	@$(PY) docs/site/build.py

docs: setup  ## build the documentation that the platform serves at /docs
	@$(PY) docs/site/build.py

bench: setup-tests  ## measure, each figure beside its reference
	@$(PY) -m bench

fuzz: setup-tests  ## fuzzing of what comes from the network (FUZZ_SECONDS each), of whole calls (FUZZ_CALLS), of bindings (FUZZ_ACTS)
	@$(PY) -m pip install -q --require-hashes -r requirements-fuzz.lock
	@$(PY) tests/fuzz/fuzz_cmpp.py -max_total_time=$${FUZZ_SECONDS:-60}
	@$(PY) tests/fuzz/fuzz_sip.py -max_total_time=$${FUZZ_SECONDS:-60}
	@$(PY) tests/fuzz/fuzz_smpp.py -max_total_time=$${FUZZ_SECONDS:-60}
	@$(PY) tests/fuzz/fuzz_text.py -max_total_time=$${FUZZ_SECONDS:-60}
	@TEST_WHOLE_CALLS=$${FUZZ_CALLS:-1000} TEST_WHOLE_CALLS_SEED=$$(date +%s) \
		$(PY) -m pytest -q tests/integration/test_voice_whole_calls.py
	@TEST_BINDING_ACTS=$${FUZZ_ACTS:-100000} TEST_BINDING_SEED=$$(date +%s) \
		$(PY) -m pytest -q tests/integration/test_binding_nodes.py

lock:  ## write requirements.lock again
	@scripts/lock

sync-client:  ## write the client that waits from the one for asyncio
	@$(PY) scripts/sync_client.py

schema:  ## write schema.sql from the migrations; count the revision of the SQL functions up if they have changed
	@$(PY) scripts/schema.py

metrics-pages:  ## write the tables of docs/metrics.md, in both languages
	@$(PY) scripts/metrics_pages.py

clean:  ## remove the environment and caches (never data)
	@rm -rf .venv src/qibai/api/site .mypy_cache .ruff_cache .pytest_cache .hypothesis
