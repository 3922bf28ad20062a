VENV := .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint matrix clean

demo: $(STAMP)
	$(BIN)/torch2triton build --pairs 120 --out data/demo --seed 0

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tests under every version of PyTorch that is supported, each in an environment of its own.
# Downloads gigabytes: older versions have no build for the CPU alone on PyPI.
VERSIONS ?= 2.11 2.12 2.13

matrix: $(VERSIONS:%=matrix-%)

matrix-%:
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet "torch==$*.*" --editable ".[dev]"
	.venv-$*/bin/python -m pytest -n 2

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .venv-* data/demo .pytest_cache .mypy_cache .ruff_cache *.egg-info
