# `make help` lists the targets.
PY := .venv/bin/python
DRIVER ?= memory

.PHONY: help setup check test test-long demo conform lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/ready ## the virtual environment, from files locked by hash

.venv/ready: requirements/dev.txt requirements/demo.txt pyproject.toml
	@test -x $(PY) || python3 -m venv .venv
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/demo.txt
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

check: setup ## format, lint, types, import rules, unit tests and memory conformance: under a minute
	@.venv/bin/ruff format --check -q . && .venv/bin/ruff check -q . && .venv/bin/mypy && .venv/bin/lint-imports --no-cache
	@$(PY) -m pytest -q -n 2 tests/unit tests/conformance/test_memory_driver.py tests/conformance/test_memory_authority.py

test: setup ## all tests, against real servers
	@$(PY) tests/rig/prepare.py
	@$(PY) -m pytest -q

demo: setup ## the main job on real data, told on the terminal: under a minute
	@$(PY) deploy/demo/demo.py

test-long: setup ## exhaustive crash points
	@TRE_LONG=1 $(PY) -m pytest -q tests/crash

conform: setup ## the driver conformance suite: make conform DRIVER=memory|sandbox
	@$(PY) -m pytest -q tests/conformance/test_$(DRIVER)_driver.py

lock: ## renew the requirement files (needs uv)
	uv pip compile -q pyproject.toml --extra local --group dev --generate-hashes --no-emit-index-url --python-version 3.11 -o requirements/dev.txt
	uv pip compile -q pyproject.toml --extra local --generate-hashes --no-emit-index-url --python-version 3.11 -o requirements/run.txt
	uv pip compile -q requirements/demo.in --no-deps --generate-hashes --no-emit-index-url --python-version 3.11 -o requirements/demo.txt
