# Every target works on a fresh checkout. PYTHON=… chooses the interpreter, PYTEST_ARGS=… and ARGS=… are passed on.

VENV   := .venv
PY     := $(VENV)/bin/python
PYTEST := $(PY) -m pytest $(PYTEST_ARGS)
CC     ?= cc
VM_RUN ?= $(wildcard ../shared/vm/vm-run)
IS_ROOT := $(filter 0,$(shell id -u))

C_SOURCES := $(wildcard csrc/*.c csrc/init/*.c tests/native/*.c benchmarks/*.c)
C_HEADERS := $(wildcard csrc/*.h csrc/init/*.h)
STRICT := -std=gnu11 -O2 -D_GNU_SOURCE -Icsrc -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2
# GCC's, where CC is that. pyrt-init trusts its plan, which the analyzer cannot know.
ANALYZER := $(shell $(CC) -fanalyzer -E -x c /dev/null >/dev/null 2>&1 && echo -fanalyzer)

SANITIZE := build/sanitize
# Those that reach C: under a sanitizer the others are only slow.
SANITIZE_TESTS ?= $(wildcard tests/native) \
	$(shell grep -rlE --include='test_*.py' 'pyrt\._native|Engine' tests/unit tests/property tests/integration tests/hostile)

.PHONY: help demo build test test-root test-user test-vm lint lint-python lint-c lint-words format sanitize fuzz crash bench wheel-abi3 clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: build ## set up, build, and run a first container
	$(VENV)/bin/pyrt run host: -- python3 -c 'print("hello from pid", __import__("os").getpid())'

$(PY):
	@python=$$(PYTHON='$(PYTHON)' .ci/python) && set -x && $$python -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

$(VENV)/installed: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet 'setuptools>=77' 'cython>=3.1' 'cffi>=1.16'
	$(PY) -m pip install --quiet --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

$(VENV)/equipped: $(VENV)/installed
	$(PY) -m pip install --quiet --no-build-isolation --config-settings editable_mode=compat --editable '.[dev]'
	@touch $@

build: $(VENV)/installed ## compile in place what has changed
	$(PY) setup.py --quiet build_ext --inplace

test: build $(VENV)/equipped ## the whole suite; as root again as an ordinary user, and on cgroup v2 where a machine for it is at hand
	.ci/equipment
	$(MAKE) --no-print-directory test-root $(if $(IS_ROOT),test-user) $(if $(and $(IS_ROOT),$(VM_RUN)),test-vm)

test-root: # the suite as who calls it
	$(PYTEST) tests

test-user: # the integration tests as an ordinary user, from root
	PYRT_MUST_WORK=$(PYRT_MUST_WORK_USER) .ci/as-user $(PYTEST) -p no:cacheprovider tests/integration tests/hostile

# Everything there is ten times slower, so: what asks for cgroup v2, and of the rest what a container is made of.
VM_TESTS := $(addprefix tests/integration/test_,isolation.py identity.py process.py rights.py proc_dev.py chains.py detached.py)
VM_PYTEST := $(PYTEST) -p no:cacheprovider --timeout 600

test-vm: # on another kernel, with cgroup v2, in a throw-away virtual machine: as root and as a user with a delegated cgroup
	PYRT_MUST_WORK=$(PYRT_MUST_WORK_VM) $(VM_RUN) --timeout 900 -- $(VM_PYTEST) --only-needs cgroup_v2 tests
	PYRT_MUST_WORK=$(PYRT_MUST_WORK_VM) $(VM_RUN) --timeout 900 -- $(VM_PYTEST) $(VM_TESTS)
	PYRT_MUST_WORK=$(PYRT_MUST_WORK_VM_USER) $(VM_RUN) --timeout 900 --user -- \
		$(VM_PYTEST) --only-needs cgroup_v2 tests/integration
	PYRT_MUST_WORK=$(PYRT_MUST_WORK_VM_USER) $(VM_RUN) --timeout 900 --user -- $(VM_PYTEST) $(VM_TESTS)

lint lint-python lint-c lint-words: export PATH := $(abspath $(VENV)/bin):$(PATH)
lint: lint-python lint-c lint-words ## every check that does not run the program

lint-python: build $(VENV)/equipped
	ruff check .
	ruff format --check .
	mypy
	cython-lint pyrt

lint-c: $(VENV)/equipped
	@set -e; for source in $(C_SOURCES); do echo "strict $$source"; $(CC) $(STRICT) -c -o /dev/null $$source; done
	@set -e; for source in $(wildcard csrc/prt_*.c); do $(CC) $(STRICT) $(ANALYZER) -c -o /dev/null $$source; done
	clang-format --dry-run -Werror $(C_SOURCES) $(C_HEADERS)

lint-words: $(VENV)/equipped
	codespell pyrt csrc tests benchmarks docs setup.py Makefile .ci *.md

format: export PATH := $(abspath $(VENV)/bin):$(PATH)
format: $(VENV)/equipped ## rewrite the sources in the house's layout
	ruff check --fix .
	ruff format .
	clang-format -i $(C_SOURCES) $(C_HEADERS)

# A copy of the tree, because compiled modules lie beside their sources.
sanitize: export CFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g
sanitize: export ASAN_OPTIONS := detect_leaks=0:abort_on_error=1
sanitize: export UBSAN_OPTIONS := print_stacktrace=1:halt_on_error=1
sanitize: $(VENV)/equipped ## the tests that reach C under ASan and UBSan
	mkdir -p $(SANITIZE) && rm -rf $(SANITIZE)/tests
	tar -c --exclude='*.so' --exclude=__pycache__ setup.py pyproject.toml README.md CHANGELOG.md LICENSE pyrt csrc tests benchmarks | tar -x -C $(SANITIZE)
	cd $(SANITIZE) && $(abspath $(PY)) setup.py --quiet build_ext --inplace
	cd $(SANITIZE) && PYTHONPATH=. PYTHONMALLOC=malloc \
		LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
		$(abspath $(PY)) -m pytest $(PYTEST_ARGS) -p no:cacheprovider --timeout 600 $(SANITIZE_TESTS)

FUZZ := build/fuzz
FUZZ_SECONDS ?= 600
FUZZ_SOURCES := tests/native/fuzz_untar.c csrc/prt_path.c csrc/prt_error.c \
	$(filter-out csrc/prt_tarwrite%,$(wildcard csrc/prt_tar*.c csrc/prt_untar*.c))

fuzz: $(VENV)/equipped ## feed the tar reader what nobody would write, under ASan and UBSan, for FUZZ_SECONDS (600)
	.ci/equipment
	$(PY) -m tests.native.fuzz_seeds $(FUZZ)/seeds
	mkdir -p $(FUZZ)/corpus
	clang $(STRICT) -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $(FUZZ_SOURCES) -o $(FUZZ)/untar
	cd $(FUZZ) && ./untar -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -dict=seeds.dict -verbosity=0 -print_final_stats=1 corpus seeds

CRASHES ?= 500
CRASH_SEED ?= 1

crash: build $(VENV)/equipped ## kill host programs and monitors at CRASHES moments (500; of the suite it is 50), from CRASH_SEED (1) on
	CRASHES=$(CRASHES) CRASH_SEED=$(CRASH_SEED) $(PYTEST) -p no:randomly tests/crash

bench: build ## time pyrt against its floor and its peers
	$(PY) -m benchmarks $(ARGS)

wheel-abi3: $(VENV)/equipped ## one wheel for CPython 3.11 and later, audited, installed and tried in a clean environment
	rm -rf build/abi3
	PYRT_ABI3=1 $(PY) -m build --no-isolation --outdir build/abi3/dist .
	$(VENV)/bin/abi3audit --strict build/abi3/dist/*.whl
	$(PY) -m venv build/abi3/venv
	build/abi3/venv/bin/pip install --quiet build/abi3/dist/*.whl
	cd build/abi3 && venv/bin/python -c 'import pyrt; print(pyrt.__version__)' && \
		venv/bin/pyrt run host: -- python3 -c 'print("hello from pid", __import__("os").getpid())'

clean: ## remove what was built, and the virtual environment
	rm -rf build dist .venv *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find pyrt csrc tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find pyrt -name '*.so' -delete
	rm -f pyrt/_native/pyrt-init pyrt/_native/_syscalls.c
