# The project's verbs. Each does its own set-up; only Python 3.11 or later is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)
# The suite starts hundreds of processes; unkept, each would compile every module anew, for seconds.
export PYTHONDONTWRITEBYTECODE :=
PACKAGES := console gateway inbox outbox pillarbox producers records runtime sandbox schema workers

.DEFAULT_GOAL := help
.PHONY: help demo up test faults simulate simulate-damage simulate-inbox check bench bench-faults pictures format clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "make %-15s %s\n", $$1, $$2}'

demo: $(VENV)/ready  ## show the main job on this computer, from events to the API and back
	@$(BIN)/pillarbox demo

up: $(VENV)/ready  ## the same world, left running until Ctrl-C
	@$(BIN)/pillarbox up

# What starts dozens of processes and counts what becomes of them has the machine to itself; the rest
# runs two at a time, what takes longest first.
ALONE := tests/faults/test_kill_points.py tests/faults/test_worker.py tests/scale

test: $(VENV)/ready  ## all tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ALONE:%=--ignore=%)
	@$(BIN)/python -m pytest $(ALONE)

faults: $(VENV)/ready  ## every fault in every place, not only one of each kind (minutes)
	@$(BIN)/python -m pytest tests/faults -m "sweep or not sweep"

SEEDS ?= 20000
FROM ?= 0

simulate: $(VENV)/ready  ## histories of faults on virtual time; SEEDS=20000 FROM=0
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM)

simulate-damage: $(VENV)/ready  ## damage the code in each listed way, and see that it is noticed
	@$(BIN)/python -m tests.simulation --damages

check: $(VENV)/ready  ## format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright -p pyproject.toml
	@$(BIN)/lint-imports

bench: $(VENV)/ready  ## speed as ratios within one run, with counters as gates
	@$(BIN)/python -m benchmarks

bench-faults: $(VENV)/ready  ## how soon work moves again after each fault, and what it cost
	@$(BIN)/python -m benchmarks faults

simulate-inbox: SEEDS = 10000
simulate-inbox: $(VENV)/ready  ## simulated days of polling: SEEDS=10000 FROM=0
	@$(BIN)/python -m tests.simulation_inbox $(SEEDS) $(FROM)

pictures: $(VENV)/ready  ## a picture of every page of the review desk, for the documentation
	@$(BIN)/python -m tests.browser.pictures

format: $(VENV)/ready  ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove the environment and the embedded world
	rm -rf $(VENV) .pillarbox

$(VENV)/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one with make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet 'uv>=0.9,<1'
	@$(BIN)/uv sync --frozen --inexact --quiet --compile-bytecode
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@
