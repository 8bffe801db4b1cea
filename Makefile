# The commands of this project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find processor -name '*.py')
# The hot path, which must behave the same compiled and interpreted.
BOTH_WAYS := tests/wire tests/attributes tests/trace tests/labels tests/contract tests/fuzz

help:  ## list the commands
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(VENV)/.installed  ## make .venv with everything in it; compiles the hot path where there is a C compiler

$(VENV)/.tools: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt hatchling mypy setuptools
	touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml README.md deploy/hatch_build.py $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation '.[dev]'
	touch $@

run: install  ## receive, with trees in the terminal and a demo that sends traces
	@SPAN_PROCESSOR_ROOTS=$${SPAN_PROCESSOR_ROOTS:-any} $(BIN)/span-processor run --demo

test: install  ## all tests that need Python alone: against the installed package, then the hot path interpreted
	$(BIN)/pytest
	PYTHONPATH=. $(BIN)/pytest $(BOTH_WAYS)

check: install  ## style, lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-clients: install  ## real clients through the real process: GROUPS="python go java js collector browser", or what is there
	$(BIN)/python tests/clients $(GROUPS)

test-image: install  ## the Dockerfile's build in a plain folder: compiled, under 100 MB, ready (needs a C compiler)
	$(BIN)/pytest -s tests/deploy/image.py

test-kustomize: install  ## the Kubernetes manifests as the real kustomize builds them (needs Go)
	$(BIN)/pytest tests/deploy/kustomize.py

picture: install  ## draw docs/console.svg anew: the console view of a trace of the demo
	$(BIN)/python tests/picture.py

record: install  ## record anew what LLM instrumentations write, with the real libraries
	$(BIN)/python tests/instrumentations/record.py

bench: install  ## CPU, memory and latency beside a fixed relay, as ratios in one run
	$(BIN)/python tests/bench

bench-peers: install  ## the same load through the Go Collector, built into a cache folder (needs Go)
	$(BIN)/python tests/bench --peers

proto: install  ## generate processor/_pb from proto/
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=processor/_pb --pyi_out=processor/_pb proto/*.proto

soak: install  ## an hour of load with a backend that flaps, for leaks; or SOAK_SECONDS=600
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} $(BIN)/pytest tests/faults/test_soak.py

fuzz: install  ## a long coverage-guided run over the wire code
	PYTHONPATH=. $(BIN)/python tests/fuzz/fuzz_request.py -max_total_time=600

clean:  ## remove what the commands above made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help install run test test-clients test-image test-kustomize picture record check bench bench-peers proto soak fuzz clean
