# Each target is one command that can be read without make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help install lock demo test check fmt bench up clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.installed  ## make .venv from the lock file

demo: install    ## one plan out of a made-up PACS, with everything it references
	$(BIN)/dicomtools demo

test: install    ## every test; real servers come as wheels, Orthanc and DCMTK are used where installed
	$(BIN)/python -m pytest

check: install   ## lint, types, import borders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: install     ## format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install   ## the README's figures, each as a ratio against a peer in the same run
	$(BIN)/python bench/selective_retrieval.py

up: install      ## the three services in one process, on this machine only
	$(BIN)/dicomtools up

lock:            ## make requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-header --no-annotate --quiet pyproject.toml -o requirements.lock

clean:           ## remove what the targets made
	rm -rf $(VENV) .demo demo-export
