# Two commands matter: `make demo` (the main job on real data) and `make test`.
PYTHON ?= python3
PIP_ARGS ?=
PY := .venv/bin/python
# Small networks are fastest with one thread per process; work is spread over processes instead.
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help install demo reproduce-quick test check check-lowest format bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## create .venv from requirements.lock

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## the main job: compare methods on Adult, ending in table, figure and report
	.venv/bin/dralign compare adult --out demo

reproduce-quick: install ## every table, figure and claim of the paper, from few and short trials
	.venv/bin/dralign reproduce all --quick --study reproduction

test: install ## the whole test suite, two workers
	$(PY) -m pytest -n 2 tests

check: install ## format, lint, types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

check-lowest: ## all tests with the lowest versions that pyproject.toml declares
	$(PYTHON) -m venv --clear build/lowest
	$(PYTHON) .ci/lowest.py > build/lowest/requirements.txt
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r build/lowest/requirements.txt
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps --editable .
	build/lowest/bin/python -m pytest tests

format: install ## rewrite the sources in the project's format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: install ## benchmarks: ratios measured side by side in one run
	$(PY) -m pytest benchmarks --benchmark-disable-gc --benchmark-columns=min,median,max,rounds
	$(PY) benchmarks/fit.py

lock: install ## print what is installed in the form of requirements.lock
	$(PY) -m pip freeze --exclude-editable | sed 's/+cpu//'

clean: ## remove everything that was built
	rm -rf .venv build dist demo reproduction .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
