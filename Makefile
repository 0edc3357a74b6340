# Each target sets up what it needs in .venv and does nothing twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD_NEEDS := "scikit-build-core>=0.11" "setuptools-scm>=8" "pybind11>=2.13" "cython>=3.0.11" "cmake>=3.20,<4" ninja
TORCH := torch==2.13.0
VISION := torchvision==0.28.0 timm==1.0.31 open_clip_torch==3.3.0 ftfy==6.3.1
CPP := $(shell find csrc -name '*.cpp' -o -name '*.hpp')
MD := $(wildcard *.md) docs recipes tests .github
BUILT_FROM := pyproject.toml CMakeLists.txt LICENSE NOTICE pyhash/evaluation/_ranks.pyx $(CPP)
DEMO_OUT ?= pyhash-demo

# Tests run in as many processes as there are cores, each with one thread for matrices. Compiled modules are kept: many
# tests start processes.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal
SCHEMA := $(BIN)/check-jsonschema --builtin-schema

.PHONY: demo test test-all lint docs figures notebooks bench bench-large bench-indexes cpp-test cpp-test-aarch64 cpp-tsan cpp-tidy aarch64-tools browser fuzz fuzz-cpp fuzz-files fuzz-calls fuzz-requests wheel format clean

demo: $(VENV)/.demo
	$(BIN)/pyhash demo --out $(DEMO_OUT)

test: $(VENV)/.test
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.test $(VENV)/vision
	$(PYTEST) --durations 20

lint: $(VENV)/.lint cpp-tidy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy recipes
	$(BIN)/python -m mypy.stubtest --allowlist tools/stubtest_allowlist.txt pyhash._core pyhash.evaluation._ranks
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/mdformat --check $(MD)
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet .

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)
	$(BIN)/mdformat $(MD)

# bench-large: what takes long or needs much memory. Both write their results into those of earlier runs; SELECT="levels
# or map" measures the tests with these names. QUICK=1: all of both in minutes on small data, and the page stays as it is.
bench bench-large: RESULTS := $(if $(QUICK),.benchmarks/quick.json,docs/performance/results.json)
bench bench-large: PAGE := $(if $(QUICK),.benchmarks/quick.md,docs/performance.md)
bench bench-large: BENCH = $(BIN)/python -m pytest benchmarks --benchmark-disable-gc --benchmark-columns=median,iqr,rounds $(if $(QUICK),--quick) --record $(RESULTS)
bench bench-large: $(VENV)/.bench
	$(BENCH) $(if $(SELECT),-k "$(SELECT)") $(if $(filter bench-large,$@),--large)
	$(BIN)/python -m benchmarks.report $(RESULTS) $(PAGE)
	$(if $(QUICK),,$(BIN)/python -m benchmarks.readme $(RESULTS) README.md)

# The indexes of other libraries that the curves of recall against time need, where they are missing; takes hours.
bench-indexes: $(VENV)/.bench
	$(BIN)/python -m benchmarks.approximate

# The documentation site, in build/docs. Warnings are errors, links within the site are checked. LINKS=all: links to other
# sites too, which needs the network.
docs: SPHINX = $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --jobs auto --doctree-dir build/doctrees
docs: $(VENV)/.docs
	rm -rf build/docs
	$(SPHINX) docs build/docs
	$(BIN)/python -m tools.site.check build/docs
	$(if $(filter all,$(LINKS)),$(SPHINX) --builder linkcheck docs build/links)

# The pictures of displays anew, where they or the built-in data change.
figures: $(VENV)/.docs
	OPENBLAS_NUM_THREADS=1 $(BIN)/python docs/figures/displays.py

# The outputs of the notebooks anew; NAME=own-data: of one.
notebooks: $(VENV)/.test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tools.site.notebooks $(NAME)

CONFIGURE = $(BIN)/cmake -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja

# The C++ part alone, under sanitizers: unit tests, and for SECONDS (30) random searches at every CPU level (SEED repeats).
# For 64-bit ARM on another machine: compiled by a cross compiler, without sanitizers, and run by QEMU with fewer cases.
IS_ARM := $(filter aarch64 arm64,$(shell uname -m))
cpp-test fuzz-cpp: PRESET := asan
cpp-tsan: PRESET := tsan
cpp-test-aarch64: PRESET := $(if $(IS_ARM),asan,aarch64)
cpp-test-aarch64: | $(if $(IS_ARM),,aarch64-tools)
cpp-test cpp-tsan cpp-test-aarch64 fuzz-cpp: $(VENV)/.build-needs
	$(CONFIGURE) --preset $(PRESET)
	$(BIN)/cmake --build --preset $(PRESET) $(if $(filter fuzz-cpp,$@),--target fuzz_search)
	$(if $(filter fuzz-cpp,$@),build/asan/fuzz_search --seconds $(or $(SECONDS),30) $(if $(SEED),--seed $(SEED)),$(BIN)/ctest --preset $(PRESET))

# clang-tidy and clang's own warnings on every C++ file, the bindings included.
cpp-tidy: $(VENV)/.lint
	$(CONFIGURE) --preset tidy -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	printf '%s\n' $(filter %.cpp,$(CPP)) | xargs -P $$(getconf _NPROCESSORS_ONLN) -n 1 $(BIN)/clang-tidy --quiet -p build/tidy

# The four fuzzers in turn, for SECONDS (60) together, from a SEED that is printed.
fuzz fuzz-files fuzz-calls fuzz-requests: SECONDS ?= 60
fuzz fuzz-files fuzz-calls fuzz-requests: SEED := $(or $(SEED),$(shell date +%s))
fuzz:
	$(MAKE) fuzz-cpp fuzz-files fuzz-calls fuzz-requests SECONDS=$$(($(SECONDS) / 4)) SEED=$(SEED)

# Damaged files; wrong arguments of the public interface; malformed requests to the server of `pyhash explore`.
fuzz-files fuzz-calls fuzz-requests: $(VENV)/.test
	$(BIN)/python -m tools.fuzz.$(@:fuzz-%=%) --seconds $(SECONDS) --seed $(SEED)

wheel: $(VENV)/.wheel
	PYTHON=$(PYTHON) TORCH=$(TORCH) bash tools/test_wheel.sh

# --- set-up -----------------------------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.build-needs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(BUILD_NEEDS)
	touch $@

aarch64-tools:
	bash tools/install_aarch64_tools.sh

# Without it, the tests of the page of `pyhash explore` are skipped.
browser:
	bash tools/install_browser.sh

# One release, before the extras ask for any: all machines test the same.
$(VENV)/.torch: | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	touch $@

# Beside the environment: where the compiled operators of torchvision do not load, it would break transformers within.
$(VENV)/vision: | $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --no-deps --target $@.partial $(VISION)
	mv $@.partial $@

# The package in place: Python files are used from the tree, compiled ones are built anew when their sources change.
$(VENV)/.demo: EXTRAS := demo
$(VENV)/.test: EXTRAS := test
$(VENV)/.lint: EXTRAS := lint,plot,deep
$(VENV)/.docs: EXTRAS := docs,plot,deep,dask
$(VENV)/.bench: EXTRAS := test,bench
$(VENV)/.wheel: EXTRAS := wheel
$(VENV)/.test $(VENV)/.lint $(VENV)/.bench: STRICT := --config-settings=cmake.define.PYHASH_WERROR=ON
$(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.bench: $(VENV)/.torch
$(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.bench $(VENV)/.wheel: $(BUILT_FROM) $(VENV)/.build-needs
	$(BIN)/python -m pip install --quiet --no-build-isolation $(STRICT) --editable ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) build dist
