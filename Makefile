.DEFAULT_GOAL := help
PY := .venv/bin/python

.PHONY: help setup setup-tests demo test check bench fuzz lock clean

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

check: setup-tests  ## lint, format, types, import rules
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

bench: setup-tests  ## measure, each figure beside its reference
	@$(PY) -m bench

fuzz: setup-tests  ## coverage-guided fuzzing of what comes from the network (FUZZ_SECONDS each, default 60)
	@$(PY) -m pip install -q --require-hashes -r requirements-fuzz.lock
	@$(PY) tests/fuzz/fuzz_cmpp.py -max_total_time=$${FUZZ_SECONDS:-60}
	@$(PY) tests/fuzz/fuzz_sip.py -max_total_time=$${FUZZ_SECONDS:-60}
	@$(PY) tests/fuzz/fuzz_smpp.py -max_total_time=$${FUZZ_SECONDS:-60}
	@$(PY) tests/fuzz/fuzz_text.py -max_total_time=$${FUZZ_SECONDS:-60}

lock:  ## write requirements.lock anew
	@scripts/lock

clean:  ## remove the environment and caches (never data)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
