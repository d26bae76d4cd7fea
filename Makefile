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

test: setup
	python -m pytest

test-fast: setup
	python -m pytest -m 'not slow'

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check .
	snakemake --lint

clean:
	rm -rf $(VENV) build *.egg-info
