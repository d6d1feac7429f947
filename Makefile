# SPDX-License-Identifier: Apache-2.0
# `make` alone says what there is; every target sets the machine up by itself first.
VENV ?= .venv
PYTHON ?=
SEEDS ?= 40
WORKERS ?= 1
TIMES ?= 20
ROBOT ?= pose
MINUTES ?= 30
BIN := $(VENV)/bin
export VENV PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo lint test bench faults soak evidence clean

help:  ## what there is (this text)
	@echo 'vla_drop_ros: prune a VLA, run it on a robot safely, prove that it is no worse.'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo
	@echo 'The first of them installs what is missing into $(VENV) (minutes); later ones start at once.'
	@echo 'Afterwards: . $(BIN)/activate && vla_drop --help'

setup:  ## virtual environment, torch, MuJoCo, ROS 2 wheels, system packages
	@tools/setup_environment.sh

demo: setup  ## watch the VLA follow instructions, full size against pruned; writes demo_output/
	@$(BIN)/vla_drop demo

lint: setup  ## style and types
	$(BIN)/ruff check
	$(BIN)/mypy

test: lint  ## all that CI runs: lint, a short demo, every test
	$(BIN)/vla_drop demo --quick --output output/demo_quick
	@failed=0; set -x; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=15 -m 'not alone' -n 2 --dist loadfile || failed=1; \
	$(BIN)/python -m pytest --durations=30 -m alone || failed=1; \
	exit $$failed

bench: setup  ## simulator and expert (SEEDS=500: whole), pruning, sizes, the running system
	$(BIN)/python bench/simulator.py --seeds $(SEEDS)
	$(BIN)/python bench/pruning.py
	$(BIN)/python bench/shapes.py
	$(BIN)/python -m bench.runtime
	$(BIN)/python bench/trial_statistics.py
	$(BIN)/python bench/null_studies.py

faults: setup  ## break a running cell in every way (TIMES=20: an hour; ROBOT=pose, twist or joints)
	$(BIN)/python bench/faults.py --robot $(ROBOT) --times $(TIMES) --document

soak: setup  ## run a cell for MINUTES=30 with faults and swaps; what grows, what hangs
	$(BIN)/python bench/soak.py --minutes $(MINUTES) --document

evidence: setup  ## the papers' claims on the reference policy: hours, resumes (WORKERS=2)
	$(BIN)/vla_drop evidence run --workers $(WORKERS)
	$(BIN)/vla_drop evidence time

clean:  ## remove what these commands made, the environment too
	rm -rf $(VENV) build install log output demo_output *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
