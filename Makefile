# The commands that people and CI run; `make` lists them. The environment is in .venv, the running stack in .state.

PYTHON ?= python3
override VENV := .venv
override BIN := $(VENV)/bin
override UV := $(BIN)/uv
LOCKS := requirements/uv.txt requirements/dev.txt requirements/triton.txt

# What a caller sets reaches the commands through the environment, as it is: make does not expand it, and a shell does not
# read it. So it may hold spaces, quotes and anything else.
VARIABLES := PHOTOS OUT FROM COCO N SEED FAULTS MINUTES SECONDS TARGET
$(foreach name,$(VARIABLES),$(eval override $(name) := $$(value $(name))))
export $(VARIABLES)

.DEFAULT_GOAL := help
.PHONY: help setup setup-export setup-fuzz fuzz demo train compare up worker test test-cluster test-images images image-digests chaos soak overload mutants check format bench capacity docs dashboards helm-tools chart lock audit clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Create the environment from the lock files; change nothing else on the machine

$(VENV)/.ready: $(LOCKS) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) pip install --quiet --require-hashes -r requirements/dev.txt
	# Only Triton's binary is used from this package, so its Python dependencies are left out.
	$(UV) pip install --quiet --require-hashes --no-deps -r requirements/triton.txt
	$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m cutstream.arrays.compiled
	@touch $@

setup-export: setup ## Add PyTorch and everything else that `cutstream export` needs (5 GB)
	$(UV) pip install --quiet --require-hashes -r requirements/export.txt

demo: setup ## Cut out photos from start to end: make demo [PHOTOS="DIR"] [OUT="DIR"]
	$(BIN)/cutstream demo --out "$${OUT:-out}" $(if $(PHOTOS),--photos "$$PHOTOS")

train: setup-export ## Train cutnet, or resume a training: make train PHOTOS=DIR [OUT=DIR] [FROM=model.onnx]
	$(if $(PHOTOS),,$(error name the folder of photos: make train PHOTOS=DIR (docs/training.md)))
	$(BIN)/python -m export.train "$$PHOTOS" "$${OUT:-.state/train}" $(if $(FROM),--from "$$FROM")

up: setup ## Keep Kafka, Triton and a worker running until Ctrl-C
	$(BIN)/cutstream up

test: setup ## Run all tests; they start a real Kafka and a real Triton
	$(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder --kafka --triton --s3 --e2e --require kafka,triton,e2e

chaos: setup ## Prove delivery under seeded faults: make chaos [N=10000] [SEED=1] [FAULTS=60] [OUT=DIR] (docs/reliability.md)
	$(BIN)/python -m tests.e2e.chaos --requests "$${N:-10000}" --seed "$${SEED:-1}" --faults "$${FAULTS:-60}" \
		--out "$${OUT:-out/chaos}"

soak: setup ## Show that a worker does not grow and leaves in order: make soak [N=20000] [OUT=DIR] (docs/reliability.md)
	$(BIN)/python -m tests.e2e.chaos.soak --requests "$${N:-20000}" --out "$${OUT:-out/soak}"

overload: setup ## Send three times what a worker can handle: make overload [MINUTES=10] [OUT=DIR] (docs/reliability.md)
	$(BIN)/python -m tests.e2e.chaos.overload --minutes "$${MINUTES:-10}" --out "$${OUT:-out/overload}"

setup-fuzz: setup ## Add what `make fuzz` needs
	$(UV) pip install --quiet --require-hashes -r requirements/fuzz.txt

fuzz: setup-fuzz ## Fuzz the reading of images: make fuzz [SECONDS=60] [TARGET=header|decode]
	$(BIN)/python -m tests.fuzz "$${TARGET:-header}" --seconds "$${SECONDS:-60}"

mutants: setup ## Damage files of all formats and judge the outcomes: make mutants [N=3000] [SEED=1] [OUT=DIR]
	$(BIN)/python -m tests.corpus --mutants "$${N:-3000}" --seed "$${SEED:-1}" --out "$${OUT:-out/mutants}"
	$(BIN)/python -m tests.corpus.bombs

images: setup ## Build the images of worker, gateway and Triton with docker, podman or buildah: make images [TARGET=worker]
	$(BIN)/python -m deploy.images.build $(if $(TARGET),"$$TARGET")

image-digests: setup ## Pin by digest what the images and the compose file stand on; asks their registries with skopeo
	$(BIN)/python -m deploy.images.digests

test-images: setup ## Build the images, and have them serve a request as an ordinary user on a read-only root (needs buildah, podman)
	$(BIN)/pytest --kafka --triton --e2e --images tests/e2e/images

test-cluster: setup ## Run the tests with three brokers, each on a network of its own where this user may make one (5 min)
	$(BIN)/pytest --kafka --cluster --require cluster tests/integration/cluster

check: setup ## Check style, types, import boundaries, and that the generated documents are up to date
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m deploy.monitoring --check

format: setup ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## Measure throughput against the bound of this machine (docs/benchmarks.md)
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.edges
	$(BIN)/python -m benchmarks.table

compare: setup ## Compare profiles on photos with masks: make compare PHOTOS=DIR [COCO=instances.json] [OUT=DIR]
	$(if $(PHOTOS),,$(error name the folder of photos: make compare PHOTOS=DIR (docs/evaluation.md#comparing-profiles)))
	$(BIN)/cutstream compare "$$PHOTOS" $(if $(COCO),--coco "$$COCO") --out "$${OUT:-out/compare}"

capacity: setup ## Measure what a photo costs, check the simulation against this machine, and write docs/scaling.md (10 min, quiet)
	$(BIN)/python -m benchmarks.service_times
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.capacity; status=$$?; $(BIN)/python -m benchmarks.scaler && $(BIN)/python -m docs.generate && exit $$status

docs: setup ## Write the generated documents: settings, metrics, errors, topics, AsyncAPI, schemas
	$(BIN)/python -m docs.generate

dashboards: setup ## Write the dashboards for Grafana and the rules for Prometheus: deploy/grafana/, deploy/prometheus/, the chart
	$(BIN)/python -m deploy.monitoring

helm-tools: setup ## Build Helm with Go and fetch the schemas that the chart is tested with (docs/kubernetes.md)
	$(BIN)/python -m tests.support.helm_tools

chart: setup ## Render the chart's examples into the golden files of its tests, for review
	$(BIN)/python -m deploy.monitoring
	$(BIN)/python -m tests.support.helm

lock-image = $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
	--constraints requirements/dev.txt $(2) pyproject.toml -o requirements/$(1)

lock: setup ## Update the lock files to the newest versions
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
		--extra local --extra quality --extra dev pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
		--extra local --extra quality --extra dev --extra export pyproject.toml -o requirements/export.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
		--extra local --extra quality --extra dev --extra fuzz pyproject.toml -o requirements/fuzz.txt
	# The images hold what the tests ran with: dev.txt constrains their locks.
	$(call lock-image,worker.txt,--extra traces)
	$(call lock-image,worker-gpu.txt,--extra traces --extra gpu)
	$(call lock-image,triton-cpu.txt,--extra engines)
	printf 'hatchling\ncyclonedx-bom\n' | $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
		--no-header --no-annotate - -o requirements/images.txt
	printf 'uv\n' | $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header \
		--no-annotate - -o requirements/uv.txt
	printf 'pip-audit\n' | $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-header \
		--no-annotate - -o requirements/audit.txt
	printf 'kubernetes-validate\n' | $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
		--no-header --no-annotate - -o requirements/helm.txt
	printf 'nvidia-pytriton==0.7.0\n' | $(UV) pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate \
		- -o requirements/triton.txt

audit: setup ## Ask for known vulnerabilities of all pinned packages; says so where no database can be reached
	$(UV) venv --quiet --allow-existing .state/audit
	$(UV) pip install --quiet --python .state/audit --require-hashes -r requirements/audit.txt
	.ci/audit .state/audit/bin/pip-audit $(wildcard requirements/*.txt)

clean: ## Remove the environment, the state of the stack and the outputs
	rm -rf $(VENV) .state out
