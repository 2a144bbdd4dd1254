# Every target that needs the tools first makes .venv with the tested versions; nothing else has to be installed.
# `make PYTHON=python3.12 test` chooses the Python (3.11 or newer) that .venv is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed
# Where it is set (containers often do), each process compiles all that it imports anew, which takes longer than the imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:  # two targets that install would do so at once, into one folder
.PHONY: help demo test test-long test-ray check fuzz audit format docs reproduce data tiny-gpt2 smollm2 gemma3 same-bytes soak bench families clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP)  ## the main job on the embedded data: 10 clients, result in runs/demo
	$(BIN)/fedrouter-sim train --clients 10 --out runs/demo --overwrite

# One thread each: workers whose threads wait for each other are several times slower.
test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "not long"

test-long: $(STAMP)  ## run the tests that `make test` leaves out for their time
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m long

# Starts two nodes on 127.0.0.2 and 127.0.0.3, and ends them.
test-ray: $(STAMP)  ## train all methods by 1, 2 and 4 workers of Ray, killed, resumed, on two nodes, and compare the bytes (ARGS='--only fedavg')
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python scripts/ray_bytes.py $(ARGS)

check: $(STAMP)  ## lint, format check, types and bandit: what CI runs before the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src scripts

# Over all readers of files; each case has a time limit. SEED makes others.
CASES ?= 15500
SEED ?= 0
fuzz: $(STAMP)  ## read mutated files by every reader (CASES=15500, SEED=0): 15 minutes; each is read or refused in one line
	OMP_NUM_THREADS=1 FUZZ_CASES=$(CASES) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -q -s tests/fuzz

audit:  ## look up known vulnerabilities of the pinned versions; asks the network, so it is not in CI
	test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/python -m pip install --quiet pip-audit; }
	.audit/bin/pip-audit --no-deps --disable-pip --strict --requirement constraints.txt

format: $(STAMP)  ## apply the lint fixes and the format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_STAMP)  ## build the documentation site into site/ (start at site/index.html); a warning is an error
	$(BIN)/python scripts/build_docs.py

PLAN ?= default
# For plans that need them: make reproduce PLAN=short ARGS='--data FOLDER --workers 1'
ARGS ?=
# PLAN=discovery measures random federations first; those of real rows with REAL=FILE of rows with task labels.
REAL ?=
reproduce: $(STAMP)  ## compare the methods, result in runs/reproduce-PLAN (PLAN=default, smoke, ...; ARGS='--data FOLDER')
	$(if $(filter discovery,$(PLAN)),$(BIN)/python scripts/discovery.py twelve six $(if $(REAL),real-30 real-100 --data $(REAL)))
	$(BIN)/fedrouter-sim study $(firstword $(wildcard scripts/plans/$(PLAN).toml) $(PLAN)) $(ARGS)

data: $(STAMP)  ## make the embedded data sets under data/ again
	$(BIN)/python scripts/make_data.py

tiny-gpt2: $(STAMP)  ## pretrain the embedded backbone data/tiny-gpt2 again
	$(BIN)/python scripts/make_tiny_gpt2.py

smollm2: $(STAMP)  ## fetch SmolLM2-135M-Instruct (93 MB) once, for --model smollm2-135m
	$(BIN)/python scripts/get_backbone.py smollm2-135m

gemma3: $(STAMP)  ## fetch Gemma 3 270M (238 MB, under Gemma's terms) once, for --model gemma3-270m
	$(BIN)/python scripts/get_backbone.py gemma3-270m

# The commit whose bytes are promised. Commits after it that had to change some say so in a trailer.
BEFORE ?= aa8b3a2
AFTER ?= HEAD
same-bytes: $(STAMP)  ## train all methods by two commits and compare the bytes (BEFORE=REF, AFTER=REF or .)
	$(BIN)/python scripts/same_bytes.py --before $(BEFORE) --after $(AFTER)

# Single-threaded: forked from a process that has everything loaded.
soak: $(STAMP)  ## kill 50 trainings at random moments, resume them, and compare the bytes (ARGS='--moments 200 --seed 1')
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python scripts/soak.py $(ARGS)

bench: $(STAMP)  ## measure the speed against plain loops (ARGS='--model smollm2-135m --data FOLDER', '--quick', ...)
	$(BIN)/python scripts/bench.py $(ARGS)

families: $(STAMP)  ## compare tiny models of all families with plain transformers (10 minutes or more); writes docs/families.md
	OMP_NUM_THREADS=1 $(BIN)/python scripts/families.py --page docs/families.md

clean:  ## remove build products and caches; never runs/, data/ or .venv
	rm -rf build dist site .cache .pytest_cache .mypy_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# --no-compile: byte code is written when a module is first imported. That of all modules takes a minute or two.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile -c constraints.txt

# Installed again only when what is installed changes. What both stamps need is installed in one go: each call of pip
# looks up all packages anew.
$(STAMP): EXTRAS := dev
$(DOCS_STAMP): EXTRAS := dev,docs
$(STAMP) $(DOCS_STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo 'Installing into $(VENV): some minutes the first time.'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[$(EXTRAS)]'
	@touch $(STAMP) $@
