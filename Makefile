# Every verb of the house. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup lock demo serve test test-engines torture bench check map clean

PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready
LOCK := requirements/dev.lock

help: ## list these verbs
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(READY) ## make .venv with the locked packages and this tree

$(READY): $(LOCK) pyproject.toml tools/setup
	@PYTHON="$(PYTHON)" tools/setup
	@touch $@

demo: $(READY) ## the main job end to end: a server, the official SDK, a few hundred reviews
	@ENGINE='$(ENGINE)' $(BIN)/python -m tools.demo

serve: $(READY) ## run the server on the engines found on this machine (ENGINE=… for another)
	@$(BIN)/batchyard serve $(if $(ENGINE),--engine '$(ENGINE)')

test: $(READY) ## every test; T=tests/server for one folder
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not vllm" $(T)

test-engines: $(READY) ## the tests that need a real vLLM; installs one into .cache (2 GB)
	@$(BIN)/python -m tests.engines_vllm.install
	@TEST_ENGINES=vllm $(BIN)/python -m pytest -q -m vllm tests/engines_vllm

torture: $(READY) ## the fault tests for ten minutes, and their figures; TORTURE_SECONDS=3600 for longer
	@$(BIN)/python -m tests.crash.torture $(if $(WRITE),--write)

bench: $(READY) ## measure against what each path could cost at best; B="create polls" for some
	@$(BIN)/python -m benchmarks $(if $(WRITE),--write) $(B)

check: $(READY) ## static checks and the house's own rules, in a minute
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python -m pytest -q tests/house

lock: $(READY) ## resolve the dependencies again, by hash, for all platforms
	@$(BIN)/python -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv
	@.cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-header --group dev --all-extras $(UPGRADE) -o $(LOCK) pyproject.toml

map: $(READY) ## draw the map in ARCHITECTURE.md again
	@$(BIN)/python -m tools.map --write

clean: ## remove everything that the other verbs made
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
