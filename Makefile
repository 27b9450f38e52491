# `make demo` and `make test` make .venv if need be; nothing else has to be installed but Python 3.11+.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow check docs clean

demo: .venv/demo.installed
	$(BIN)/evalkit run demo --report --out reports/demo

test: .venv/dev.installed
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# What looks long for what is rare: hundreds of runs, kills at random moments, all architectures, clusters, simulations.
test-slow: .venv/dev.installed
	$(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile --no-loadscope-reorder

check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs.installed
	$(BIN)/mkdocs build --strict --quiet --site-dir build/site

.venv/%.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv build dist reports/demo
