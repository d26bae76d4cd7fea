# make demo    set up, then run the main job on the embedded world (CPU only)
# make test    set up, then test
# make setup   only make the virtual environment, in .venv
# make lint    what the gate checks besides the tests
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: setup demo test test-fast lint clean

setup: $(VENV)/.ready

# The record is written last: an interrupted set-up starts over.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	snakemake --cores all

# One thread a process, one process a core: what the tests measure does not depend on how many run.
test: setup
	OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist loadfile

test-fast: setup
	OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist loadfile -m 'not slow'

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check .
	snakemake --lint

clean:
	rm -rf $(VENV) build *.egg-info
