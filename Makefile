# The commands of this checkout. Each makes the environment that it needs, or finds it made.

PYTHON ?= python3
PORT ?= 8000
HOST ?= 127.0.0.1
ENVIRONMENT := $(PYTHON) tools/environments.py
DEV := .venv/bin

# A test that hangs is a failure, not a wait (read by pytest-timeout); the slowest takes a minute on a good machine.
export PYTEST_TIMEOUT ?= 1800

.DEFAULT_GOAL := help
.PHONY: help demo serve check test lint format pins audit clean dev

help: ## Show this list
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: dev ## Train, export, publish, serve and ask a small model (CHECK=1: assert and stop)
	@$(DEV)/python tools/demo.py $(if $(CHECK),--check)

# By the environment: pasted into a recipe, a name's own quotes would end the shell's.
serve: export MODEL := $(MODEL)
serve: export PORT := $(PORT)
serve: export HOST := $(HOST)
serve: ## Serve MODEL=path-or-url on PORT (8000) of HOST (127.0.0.1) as production does, with nothing else installed
	@test -n "$$MODEL" || { echo 'usage: make serve MODEL=path-or-url [PORT=8000] [HOST=127.0.0.1]' >&2; exit 2; }
	@$(ENVIRONMENT) serve >/dev/null
# Every shell makes way for the next, so that make's own child is the server: a SIGTERM to make reaches it.
	@model="$$MODEL"; \
	case "$$model" in \
		*:*) ;; \
		*) test -e "$$model" || { echo "serve: no such file: $$model" >&2; exit 2; }; \
			model="$$(realpath "$$model")" ;; \
	esac; \
	command="$$(sed -n 's/^web: *//p' Procfile)"; \
	echo "serving $$model on http://$$HOST:$$PORT (Ctrl-C stops): $$command"; \
	exec env PATH="$(CURDIR)/.venv-serve/bin:$$PATH" MODEL_URL="$$model" sh -c "exec $$command"

check: lint ## The quick part of the tests: linters, types, tests that take no time
	$(DEV)/python -m pytest -m "not slow"

# Real servers on a shared machine may wait in vain when it stands still: what failed is run a second time, alone, and
# both runs are in the output. A fault fails twice.
again = test $$? -eq 1 && echo 'make: what failed is run once more:' && $(1) -m pytest $(2) \
	--last-failed --last-failed-no-failures=none

test: lint ## Everything, on every interpreter that this machine has a Python for
	$(DEV)/python -m pytest || { $(call again,$(DEV)/python,); }
	@$(ENVIRONMENT) litert >/dev/null || test $$? -eq 3
	@if test -x .venv-litert/bin/python; then \
		set -x; .venv-litert/bin/python -m pytest tests/runtime tests/server \
			|| { $(call again,.venv-litert/bin/python,tests/runtime tests/server); }; fi
	@$(ENVIRONMENT) tested

lint: dev ## Check style and types
	$(DEV)/ruff check
	$(DEV)/ruff format --check
	$(DEV)/mypy

format: dev ## Put the code into its canonical form
	$(DEV)/ruff check --fix
	$(DEV)/ruff format

pins: dev ## Compute requirements*.txt from requirements*.in (UPGRADE=1: take the newest versions)
	@set -e; for name in requirements requirements-onnx requirements-image requirements-test requirements-dev; do \
		echo "$$name.txt"; \
		UV_CUSTOM_COMPILE_COMMAND='make pins' $(DEV)/uv pip compile --quiet --universal \
			--python-version 3.11 --generate-hashes $(if $(UPGRADE),--upgrade) \
			$$name.in --output-file $$name.txt; \
	done

audit: dev ## Look up known holes in the packages that production pins
	$(DEV)/pip-audit --disable-pip --require-hashes --requirement requirements.txt

clean: ## Remove environments, caches and what the demo built
	rm -rf .venv .venv-litert .venv-serve .venv-tools .venv.lock .demo
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev:
	@$(ENVIRONMENT) dev >/dev/null
