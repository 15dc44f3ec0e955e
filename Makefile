# Every target sets up what it needs: .venv holds gmbench, editable, and the packages that constraints.txt pins.
# Another interpreter: make bench PYTHON=python3.12

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
# The first of them that is new enough and can make environments.
FOUND = $(firstword $(foreach python,$(PYTHON),$(shell \
	$(python) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(python))))
BIN := .venv/bin
DEV := .venv/.dev-installed
PERF := .venv/.perf-installed
MUTANTS := .venv/.mutants-installed
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# Builds use the pinned setuptools of .venv: visdom, which adv-lib needs, does not build with 82 or later.
BUILD := $(INSTALL) --no-build-isolation --use-pep517 --editable
SUITES := digits-v2
OLDER := digits-v1 mnist-2d-v1 mnist-v2 cifar10-jpeg-v1

.DEFAULT_GOAL := help
.PHONY: help dev bench reproduce zoo test frauds whole test-slow portable lint types check mutants perf perf-workers scale report clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: $(DEV) ## set up .venv (Python >= 3.11; about 6 GB, once)

bench: $(DEV) ## run the suite digits-v2, a few minutes, and compare with results/digits-v2
	$(BIN)/gmbench run digits-v2

reproduce: $(DEV) ## fetch MNIST if need be, run every published suite, hours, and compare with results/
	$(BIN)/gmbench data mnist
	$(foreach suite,$(SUITES),$(BIN)/gmbench run $(suite) &&) true

zoo: $(DEV) ## train what models/zoo.toml lists and has no checkpoint yet, hours; stopped, it continues
	$(BIN)/gmbench zoo train
	$(BIN)/gmbench zoo page

test: $(DEV) ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not slow"

test-slow: $(PERF) ## run the long tests, an hour or so: trainings, computing anew, comparisons with other libraries
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m slow

frauds: $(DEV) ## plant every fraud and every hostile file, some minutes: none may pass as sound or move a row
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "slow or not slow" \
		tests/benchmark/frauds tests/benchmark/engine/guest tests/benchmark/engine/inspection

whole: $(DEV) ## run the slow tests of whole runs, a few minutes: notebooks, suites end to end, a killed run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m slow \
		tests/test_package.py tests/test_quickstart.py tests/test_readme.py \
		tests/benchmark/cli/test_keeping.py tests/benchmark/cli/test_main.py tests/benchmark/cli/test_whole.py

portable: $(DEV) ## run the tests of stored numbers with the instructions of an older processor
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "stored and not slow"

lint: $(DEV) ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV) ## check the types
	$(BIN)/mypy

check: lint types test ## all that a change must pass

mutants: $(MUTANTS) ## break the judging modules in 480 places: do their tests notice?
	cd tests && ../$(BIN)/python -m mutants

perf: $(PERF) ## compare speed with torchattacks, foolbox, adv-lib and pyautoattack
	$(BIN)/python -m gmbench.benchmark.perf

scale: $(DEV) ## measure passes and simulate many workers: docs/scale.md; digits-v2 must have been run
	$(BIN)/python -m gmbench.benchmark.cli.scale.page

perf-workers: $(DEV) ## measure what two worker processes are worth, and what memory they need, some minutes
	$(BIN)/python -m gmbench.benchmark.perf.workers

report: $(DEV) ## draw tables and figures again, from the stores and, of older suites, from what is published
	$(foreach suite,$(SUITES),$(BIN)/gmbench report $(suite) &&) true
	$(foreach suite,$(OLDER),$(BIN)/gmbench report results/$(suite) &&) true

clean: ## remove caches and build outputs; the next target looks over .venv again
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache $(DEV) $(PERF) $(MUTANTS)
	find $(wildcard __pycache__ attacks benchmark detectors models tests) -name __pycache__ -prune -exec rm -rf {} +

$(DEV): pyproject.toml constraints.txt
	$(if $(FOUND),,$(error gmbench needs Python 3.11 or newer with venv (on Debian and Ubuntu: python3-venv); say which: make PYTHON=python3.12))
	$(FOUND) -m venv .venv
	$(INSTALL) setuptools
	$(BUILD) '.[dev,distributed,ood,torchattacks]'
	touch $@

$(PERF): $(DEV)
	$(BUILD) '.[perf]'
	touch $@

$(MUTANTS): $(DEV)
	$(BUILD) '.[mutants]'
	touch $@
