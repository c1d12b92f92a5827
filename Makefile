# Everything that CI and people run. `make` lists it; the environment lives in .venv, the running stack in .state.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
LOCKS := requirements/dev.txt requirements/triton.txt

.DEFAULT_GOAL := help
.PHONY: help setup setup-export demo train compare up worker test check format bench docs lock package clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Make the environment from the lock files, and nothing else on the machine

$(VENV)/.ready: $(LOCKS) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --quiet --require-hashes -r requirements/dev.txt
	# Only Triton's binary is used from this package, so none of its Python dependencies are wanted.
	$(UV) pip install --quiet --require-hashes --no-deps -r requirements/triton.txt
	$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup-export: setup ## Add torch and what export needs (5 GB)
	$(UV) pip install --quiet --require-hashes -r requirements/export.txt

demo: setup ## Cut out real photos end to end: make demo [PHOTOS=DIR] [OUT=DIR]
	$(BIN)/cutstream demo --out "$${OUT:-out}" $(if $(PHOTOS),--photos "$$PHOTOS")

train: setup-export ## Train cutnet by its recipe: make train PHOTOS=DIR [OUT=DIR] [FROM=model.onnx]; goes on where it was
	$(if $(PHOTOS),,$(error name the folder of photos: make train PHOTOS=DIR (docs/training.md)))
	$(BIN)/python -m export.train "$$PHOTOS" "$${OUT:-.state/train}" $(if $(FROM),--from "$$FROM")

up: setup ## Keep Kafka, Triton and a worker running until Ctrl-C
	$(BIN)/cutstream up

test: setup ## All tests, against a real Kafka and a real Triton that they start
	$(BIN)/pytest --kafka --triton --s3 --e2e --require kafka,triton,e2e

check: setup ## Lint, types, import boundaries, staleness of what is generated
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

format: setup ## Put the code into the house's form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## Measure throughput against this machine's own bound
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.edges
	$(BIN)/python -m benchmarks.table

compare: setup ## Profiles side by side on photos with masks: make compare PHOTOS=DIR [COCO=instances.json] [OUT=DIR]
	$(if $(PHOTOS),,$(error name the folder of photos: make compare PHOTOS=DIR (docs/evaluation.md#comparing-profiles)))
	$(BIN)/cutstream compare "$$PHOTOS" $(if $(COCO),--coco "$$COCO") --out "$${OUT:-out/compare}"

docs: setup ## Write the generated documents: schemas, AsyncAPI, settings, metrics, errors
	$(BIN)/python -m docs.generate

lock: setup ## Pin versions and hashes anew
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
		--extra local --extra quality --extra dev pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
		--extra local --extra quality --extra dev --extra export pyproject.toml -o requirements/export.txt
	printf 'nvidia-pytriton==0.7.0\n' | $(UV) pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate \
		- -o requirements/triton.txt

package: setup ## Build the wheel and the source archive into dist/
	$(UV) build --quiet

clean: ## Remove the environment, the stack's state and the outputs
	rm -rf $(VENV) .state out dist
