# Each target does its own set-up: a virtual environment in .venv, made again when the requirements change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-postgres test-quantized test-gallery lint bench interop docs install clean
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); this takes a minute or two"
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python -m autointerp.demo

# Two processes of one thread each: that is faster here than one of two threads. Files stay whole, for their fixtures.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Needs PostgreSQL's binaries (Debian: apt-get install postgresql-15); a server is made, used and removed.
test-postgres: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/stages tests/db --database postgresql

# Needs Chromium (Debian: apt-get install chromium); Playwright's client drives it and brings no browser of its own.
test-gallery: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export/test_gallery.py tests/stages/test_exports.py --chromium

# The extra is heavy, and slows the import of diffusers down: it is installed for these tests alone.
test-quantized: $(STAMP)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[quantized]'
	$(BIN)/python -m pytest tests/diffusion/test_loading.py -k quantize
	$(BIN)/python -m pip uninstall -qq -y bitsandbytes torchao

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

interop: $(STAMP)
	$(BIN)/python interop/run.py

docs: $(STAMP)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) interop/.venvs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
