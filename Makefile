# make demo    set up, then run the main job on the embedded world (CPU only)
# make test    set up, then test
# make test-whole   what `make test` leaves out: whole experiments, simulations, real browsers, large models; the gate
#              runs both
# make setup   only make the virtual environment, in .venv
# make lint    what the gate checks besides the tests
# make docs    write the documentation as a site to build/docs
# make lock    renew requirements.lock from constraints.txt, where torch's build for the CPU alone is installed
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

unexport PYTHONDONTWRITEBYTECODE

define IMPORT_ALL
import importlib, pkgutil, kbench, pandas, pytest, sklearn.linear_model, snakemake.cli
for module in pkgutil.walk_packages(kbench.__path__, "kbench."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
endef
export IMPORT_ALL

.PHONY: setup demo test test-whole test-fast lint docs lock clean

setup: $(VENV)/.ready

# Every package but torch is verified by its hash; torch's build, and CUDA's libraries with it, depend on where pip looks.
# Compiling all of them would take longer than the rest, so only what kbench imports is, by importing it: where
# PYTHONDONTWRITEBYTECODE is set, as in Python's own images, every job would otherwise compile torch anew.
# The record is written last: an interrupted set-up starts over.
$(VENV)/.ready: pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-compile --no-deps --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	$(VENV)/bin/python -c "$$IMPORT_ALL"
	touch $@

demo: setup
	snakemake --cores all

# One thread a process, one process a core: what the tests measure does not depend on how many run.
test: setup
	OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist loadfile -m 'not whole'

test-whole: setup
	OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m whole

test-fast: setup
	OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist loadfile -m 'not slow and not whole'

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check .
	snakemake --lint

docs: setup
	mkdocs build --quiet

lock: setup
	$(VENV)/bin/python -m pip install --quiet pip-tools
	pip-compile --quiet --generate-hashes --allow-unsafe --all-build-deps --extra dev --strip-extras \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --constraint constraints.txt --output-file requirements.unlocked pyproject.toml
	{ echo '# Every package of `make setup` but torch, with the SHA-256 of each of its files. Made by `make lock`.'; \
	  awk '/^[A-Za-z]/ {skip = /^(torch==|kbench)/} /^#/ || !NF {next} !skip' requirements.unlocked; } > requirements.lock
	rm requirements.unlocked

clean:
	rm -rf $(VENV) build *.egg-info
