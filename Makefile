# `make demo`, `make demo-review` and `make test` work on a fresh computer.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Test processes, one more than cores, since many tests wait. Each runs one test file at a time, in the order of tests/conftest.py.
WORKERS ?= 3

.PHONY: install demo demo-review test lint tests bench bench-gpu soak audit sbom man pin-wheels try-install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt constraints-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --constraint constraints-dev.txt --editable '.[dev]'
	@touch $(STAMP)

demo: install
	$(BIN)/goldsmith demo

demo-review: install
	$(BIN)/goldsmith demo --review

lint: install
	$(BIN)/ruff check .ci daemon tests
	$(BIN)/ruff format --check .ci daemon tests
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy tests/bench
	MYPYPATH=.ci $(BIN)/mypy .ci/*.py
	$(BIN)/lint-imports

# With compiled modules kept, the hundreds of daemons that the tests start come up sooner.
tests: install
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -m "not bench and not soak" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Side by side: each of the programs that lint runs uses one core.
test: install
	$(MAKE) --no-print-directory --jobs 2 lint tests

bench: install
	OPENBLAS_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)  # as the service sets it for its worker processes

# Needs a GPU; DEVICE=cpu TINY=1 runs every measurement on any computer. Uses the installed models and fetches nothing.
bench-gpu: install
	PYTHONPATH=tests $(BIN)/python -m bench.gpu $(if $(DEVICE),--device $(DEVICE)) $(if $(TINY),--tiny) $(BENCH)

soak: install
	$(BIN)/pytest -m soak --timeout=0

# The next two run outside the environment that they read, so that nothing in it can answer for itself.
# AUDITED=/opt/goldsmith checks another environment.
AUDITED ?= $(VENV)

audit:
	$(PYTHON) -E -s -S .ci/audit.py $(AUDITED)

sbom:
	$(PYTHON) -E -s -S .ci/sbom.py $(AUDITED) > goldsmith.cdx.json
	@echo "goldsmith.cdx.json"

# After a change of a command's help.
man: install
	$(BIN)/python .ci/man_page.py

# Follows the install recipe of docs/running.md on a bare Debian with a systemd of its own. Needs root, debootstrap and the network.
try-install:
	bash .ci/try_install.sh

# Needs the network: downloads every pinned wheel that has no hash yet.
pin-wheels: install
	$(BIN)/python .ci/pin_wheels.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis demo goldsmith.cdx.json
