# What can be done here. Each of run, demo and test works first on a fresh machine with git, make and Python 3.11-3.13.

PY := .venv/bin/python
# One more than the cores of a small machine: a third of the time a test waits for a process it has started.
WORKERS ?= 3
export UV_PYTHON_DOWNLOADS = never
# Containers set it to stay small; but then each of the many processes here compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run demo try-wheel test test-evolve test-load test-hostile check format bench docs lock setup clean help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

run: setup  ## start a bot with a local chat page; ctrl-C stops it
	@.venv/bin/persais dev persais-app

demo: setup  ## the first evolution from first message to "Echo: Hello World", unattended
	@$(PY) scripts/demo.py

test: setup  ## all tests
	@cd persais-core && ../$(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-evolve: setup  ## only the evolve loop: kills in every state, taking back, trying, versions that do not hold
	@cd persais-core && ../$(PY) -m pytest tests/e2e/test_kills.py tests/e2e/test_taking_back.py tests/e2e/test_try.py \
		tests/e2e/test_releases.py tests/e2e/test_kept_examples.py $(ARGS)

test-load: setup  ## 50 chats over several processes that are killed meanwhile, and 10,000 strange updates; prints counts
	@cd persais-core && PERSAIS_LOAD=full ../$(PY) -m pytest tests/load -s --timeout 900 $(ARGS)

test-hostile: setup  ## attacks and honest files against the gates and the sandbox, with counts
	@cd persais-core && ../$(PY) -m pytest tests/hostile tests/security/test_sandbox_escapes.py $(ARGS)

check: setup  ## style, types, import floors, deployment files
	cd persais-core && ../.venv/bin/ruff check . ../scripts
	cd persais-core && ../.venv/bin/ruff format --check . ../scripts
	cd persais-core && ../.venv/bin/mypy
	cd persais-core && ../.venv/bin/lint-imports
	.venv/bin/hadolint persais-app/Dockerfile
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec persais-app/docker-compose.yml
	.venv/bin/actionlint .github/workflows/*.yml persais-app/.github/workflows/*.yml
	.venv/bin/zizmor --quiet --offline .github/workflows persais-app/.github/workflows

format: setup  ## let ruff put style in order
	cd persais-core && ../.venv/bin/ruff check --fix . ../scripts && ../.venv/bin/ruff format . ../scripts

bench: setup  ## speed, memory and size beside two minimal bots, in one run
	@cd persais-core && ../$(PY) -m bench $(ARGS)

try-wheel: setup  ## build the package and try it as a newcomer would, without the clone
	@$(PY) scripts/try_wheel.py

docs: setup  ## build the documentation into docs/.site/
	@cd docs && ../.venv/bin/zensical build --clean --strict

lock: setup  ## write the pinned, hashed requirement files anew
	@$(PY) scripts/lock.py

setup:  ## make or bring up to date the environment in .venv/
	@python3 scripts/setup.py

clean:  ## remove the environment and everything the bot made here
	rm -rf .venv .persais docs/.site docs/.cache
