# Two commands matter: `make demo` (the main job on real data) and `make test`.
PYTHON ?= python3
PIP_ARGS ?=
PY := .venv/bin/python
# Small networks are fastest with one thread per process; work is spread over processes instead.
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help install demo reproduce-quick test faults coverage check check-lowest docs format bench dist lock clean

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

test: install ## the whole test suite, three workers: some of its tests wait more than they work
	$(PY) -m pytest -n 3 tests

# How much of each fault `make faults` tries: what docs/reliability.md tells of.
KILLS ?= 4
PAIRS ?= 2
MOMENTS ?= 100
SWEEPS ?= 500
ROUNDS ?= 20
CASES ?= 5000
LOGS ?= build/faults
FAULTS = kills.py|--each|$(KILLS) disk.py memory.py pairs.py|--each|$(PAIRS) moments.py|--each|$(MOMENTS) \
	loop_sweeps.py|$(SWEEPS)|--engine|processes|--log|$(LOGS)/sweeps.jsonl \
	loop_sweeps.py|$(SWEEPS)|--engine|dask-local|--log|$(LOGS)/sweeps-dask.jsonl \
	loop_tests.py|$(ROUNDS)|--log|$(LOGS)/tests.jsonl \
	fuzz_ledger.py|$(CASES) fuzz_plan.py|$(CASES) fuzz_tables.py|$(CASES)|--kind|csv \
	fuzz_tables.py|$(CASES)|--kind|parquet fuzz_tables.py|$(CASES)|--kind|image \
	fuzz_networks.py|$(CASES) mutants.py|--log|$(LOGS)/mutants.jsonl

faults: install ## kills, full disks, little memory, races, fuzz, mutants: many hours; see the page
	@mkdir -p $(LOGS); failed=; for entry in $(foreach entry,$(FAULTS),"$(entry)"); do \
		script=$$(echo "$$entry" | tr '|' ' '); began=$$(date +%s); echo "== $$script"; \
		$(PY) tests/faults/$$script || failed="$$failed\n  $$script"; \
		echo "== $$(( $$(date +%s) - began )) s"; \
	done; if [ -n "$$failed" ]; then printf "failed:$$failed\n"; exit 1; fi

COVERED = tests/alignment tests/analysis tests/auditing tests/gaps tests/methods tests/metrics tests/rationale tests/step \
	tests/test_extending.py tests/test_groups.py tests/test_settings.py tests/estimator/test_estimator_audit.py \
	tests/estimator/test_estimator_weights.py tests/report/test_report_outputs.py tests/study/test_study_record.py

coverage: install ## lines and branches of the parts that hold formulas
	rm -rf build/coverage
	$(PY) -m coverage run -m pytest -q --timeout 900 $(COVERED)
	@# What numba compiles can't be traced: the loops once more, interpreted.
	NUMBA_DISABLE_JIT=1 $(PY) -m coverage run -m pytest -q tests/rationale/test_rationale_ablation.py \
		-k "margins_of_any_size or cannot_change_the_loss or rows_of_many_inputs"
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

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

# The site is made by reading the sources: with packages of its own, and without torch.
docs: build/docs/installed ## the documentation as a site in build/site, warnings are errors
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict

build/docs/installed: docs/requirements.lock
	$(PYTHON) -m venv --clear build/docs
	build/docs/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r docs/requirements.lock
	@touch $@

format: install ## rewrite the sources in the project's format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: install ## benchmarks: ratios measured side by side in one run
	$(PY) -m pytest benchmarks --benchmark-disable-gc --benchmark-columns=min,median,max,rounds
	$(PY) benchmarks/fit.py

dist: install ## wheel and source archive in dist/, whose tests are run from the archive
	rm -rf dist build/archive
	$(PY) -m hatchling build
	mkdir -p build/archive
	tar -xzf dist/*.tar.gz -C build/archive --strip-components 1
	cd build/archive && PYTHONPATH=src $(CURDIR)/$(PY) -m pytest -n 2 tests

lock: install ## print what is installed in the form of requirements.lock
	$(PY) -m pip freeze --exclude-editable | sed 's/+cpu//'

clean: ## remove everything that was built
	rm -rf .venv build dist demo reproduction .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
