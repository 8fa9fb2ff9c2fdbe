# make demo    watch a pod move between two host servers and back
# make test    everything that has to hold
# make build   the .venv with zaptrace in it, ready to use: .venv/bin/zaptrace
# make container    everything once more, as a stock container's processes run: under its seccomp profile,
#              without capabilities
# make lint    ruff, the types (mypy, strict for zaptrace/), and the layout of csrc/ (clang-format)
# make asan    the tracer's tests with the extension under ASan and UBSan
# make wheel   dist/: source archive and wheels, and the demo from one of them, newly installed
# make bench   what things cost, in pods and natively (minutes); report and samples in bench/results/
# make bench-all    and in every rival that is installed (an hour); root's keeps what needs root to itself
# make kernels images of other kernels and processors, restored in virtual machines (not in CI)
# make carried run every program of tests/programs, and write docs/carried.md
# make table   refresh docs/syscalls.md and docs/refused.md, which are made from tables
# make docs    build/site and build/zaptrace.1: the pages and the man page; a warning is an error
# make clean   back to a fresh clone
#
# Everything that is made goes into .venv and build/. Root's demo, test, asan, wheel, carried and bench run as
# an ordinary user on a copy of this tree (scripts/as_user.sh says so); ZAPTRACE_TEST_AS_ROOT=1 keeps
# them root's. MARK=... keeps to tests with that mark, PYTEST="..." adds arguments to pytest, BENCH="..." to
# python -m bench.

SHELL := /bin/bash
# Thousands of starts of Python: what is compiled once is not compiled again by each, and the tree is
# found by its path (compat), not by a finder of setuptools' that takes as long as the start itself.
unexport PYTHONDONTWRITEBYTECODE
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: demo test container build lint asan wheel bench bench-all kernels carried table docs clean

VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(shell find csrc -type f -not -name '*.pyc' 2>/dev/null)
JOBS ?= $(shell n=$$(($$(nproc) * 2)); echo $$((n > 8 ? 8 : n)))

IN_CONTAINER = $(BIN)/python tests/harness/container.py $(BIN)/pytest -q --tb=short

DRAWS = $(BIN)/python -c 'import matplotlib' 2>/dev/null || $(BIN)/pip install -qq 'matplotlib>=3.6'

ifeq ($(shell id -u)$(ZAPTRACE_TEST_AS_ROOT),0)

demo test container asan:
	@scripts/as_user.sh $(MAKE) --no-print-directory $@
wheel:
	@KEEP=dist scripts/as_user.sh $(MAKE) --no-print-directory $@
carried:
	@KEEP=docs/carried.md scripts/as_user.sh $(MAKE) --no-print-directory $@
bench:
	@KEEP=bench/results scripts/as_user.sh $(MAKE) --no-print-directory $@ BENCH="$(BENCH)"
bench-all:
	@KEEP=bench/results $$(scripts/find_python.sh) -m bench.asroot \
		scripts/as_user.sh $(MAKE) --no-print-directory $@ BENCH="$(BENCH)"

else

demo: $(VENV)/.built
	@$(BIN)/zaptrace demo

# In CI what failed side by side is run again alone, and said so: a busy machine is no finding, and
# a real fault fails again.
test: $(VENV)/.built
	@$(BIN)/pytest -q --tb=short -n $(JOBS) --dist worksteal $(if $(MARK),-m "$(MARK)") $(PYTEST) || \
		{ [ -n "$$CI" ] && echo "=== again, one at a time, what failed side by side" && \
		$(BIN)/pytest -q --tb=short --last-failed --last-failed-no-failures none $(PYTEST); }

container: $(VENV)/.built
	@$(IN_CONTAINER) -n $(JOBS) --dist worksteal $(PYTEST) || \
		{ [ -n "$$CI" ] && echo "=== again, one at a time, what failed side by side" && \
		$(IN_CONTAINER) --last-failed --last-failed-no-failures none $(PYTEST); }

asan: build/asan/.built
	@scripts/asan.sh $(BIN)/pytest -q --tb=short -m tracer -n $(JOBS) --dist worksteal $(PYTEST) || \
		{ [ -n "$$CI" ] && echo "=== again, what failed" && \
		scripts/asan.sh $(BIN)/pytest -q --tb=short -m tracer --last-failed --last-failed-no-failures none $(PYTEST); }

wheel: $(VENV)/.built
	@scripts/wheel.sh $(BIN)/python
	@scripts/try_wheel.sh $(BIN)/python

carried: $(VENV)/.built
	@ZAPTRACE_TEST_MATRIX=docs/carried.md $(BIN)/pytest -q --tb=short -n $(JOBS) --dist worksteal tests/test_programs.py || \
		{ echo "=== again, one at a time, what failed side by side" && ZAPTRACE_TEST_MATRIX=docs/carried.md \
		$(BIN)/pytest -q --tb=short --last-failed --last-failed-no-failures none tests/test_programs.py; }

bench: $(VENV)/.built
	@$(DRAWS)
	@$(BIN)/python -m bench $(BENCH)

bench-all: $(VENV)/.built
	@$(DRAWS)
	@$(BIN)/python -m bench --all --minutes 60 $(BENCH)

endif

build: $(VENV)/.built

lint: $(VENV)/.built
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run --Werror $$(find csrc -name '*.[ch]')

$(VENV)/.built: $(SOURCES) | $(VENV)/bin/pip
	@rm -rf build/lib.* build/temp.*
	@echo "building zaptrace"
	@$(BIN)/pip install -qq --no-build-isolation --config-settings editable_mode=compat -e '.[test]'
	@touch $@

$(VENV)/bin/pip:
	@python=$$(scripts/find_python.sh) && echo "making $(VENV) with $$python" && \
	"$$python" -m venv --clear $(VENV) && \
	$(BIN)/pip install -qq 'setuptools>=68' wheel 'cffi>=1.16'

build/asan/.built: $(VENV)/.built
	@echo "building zaptrace with ASan and UBSan"
	@scripts/asan.sh $(BIN)/python setup.py -q build --build-base build/asan.tmp --build-lib build/asan
	@touch $@

kernels: $(VENV)/.built
	@$(BIN)/python scripts/kernels

table: $(VENV)/.built
	@$(BIN)/python scripts/support_table.py

docs: $(VENV)/.built
	@$(BIN)/python scripts/pages.py
	@echo "build/site/index.html, and the man page: man build/zaptrace.1"

clean:
	rm -rf $(VENV) build dist *.egg-info bench/results zaptrace/_native.c .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name '__pycache__' -prune -exec rm -rf {} + -o \( -name '*.so' -o -path './csrc/*.o' \) -exec rm -f {} +
