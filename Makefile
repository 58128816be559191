# Each target does its own set-up: a virtual environment in .venv, made again when the requirements change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGE := $(VENV)/.package

.PHONY: demo test test-training test-device test-postgres test-quantized test-gallery test-web lint bench interop docs install clean
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); this takes a minute or two"
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(PACKAGE)

# The package alone, into the same environment. Python compiles what it imports, which is a small part of what is
# installed: for pip to compile all of it took longer than to download and unpack it.
$(PACKAGE): pyproject.toml constraints.txt
	@echo "1. install the package and what it needs into $(VENV): a minute or two, most of it for torch"
	@echo "2. label, evaluate, export and search on the embedded model: how long is told then, about four minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt -e .
	touch $@

demo: $(PACKAGE)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m autointerp.demo

# Two processes of one thread each: that is faster here than one of two threads. Files stay whole, for their fixtures.
# COVERAGE=1 also prints how much of the package is run, and takes longer.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(if $(COVERAGE),--cov --cov-report=term:skip-covered)

# The trainers of the shipped weights, on a few pictures and steps.
test-training: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist load -m training tests/training

# The path of a GPU, on a device that pretends to be one. Needs a C++ compiler (Debian: apt-get install g++), and skips
# without; the device is compiled once, in about a minute.
test-device: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m device tests/pretend_gpu

# The database's own tests, and one run of each stage. Needs PostgreSQL's binaries (Debian: apt-get install
# postgresql-15); a server is made, used and removed.
test-postgres: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/db tests/joints/test_postgresql.py --database postgresql

# Needs Chromium (Debian: apt-get install chromium); Playwright's client drives it and brings no browser of its own.
test-gallery: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export/test_gallery.py tests/transfer/exporting/test_gallery.py --chromium

# The browser view in Chromium, with axe-core on each page.
test-web: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/web/test_in_chromium.py tests/web/test_painting_in_chromium.py --chromium

# The extra is heavy, and slows the import of diffusers down: it is installed for these tests alone.
test-quantized: $(STAMP)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[quantized]'
	$(BIN)/python -m pytest tests/diffusion/test_arranging.py -k quantize
	$(BIN)/python -m pip uninstall -qq -y bitsandbytes torchao

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

interop: $(STAMP)
	$(BIN)/python interop/run.py

docs: $(STAMP)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) interop/.venvs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
