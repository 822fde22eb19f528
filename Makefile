# Everything a newcomer needs is `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
export UV_PYTHON_DOWNLOADS = never
# The tests start hundreds of processes, and each would compile every module that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: storms soak bench-simulate help images sbom demo demo-frameworks test test-deploy test-ray test-quick check format lock mutations clean bench-bind bench-scale bench-agent bench-flood bench-packing bench-planted bench-packing-fresh bench-verdict bench-reclaim storms-devices test-gpu agreement

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/installed: requirements.lock pyproject.toml
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(RUN)/uv || $(RUN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.10'
	$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes -r requirements.lock
	$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps -e .
	@touch $@

demo: $(VENV)/installed ## real gangs on a real control plane, checked against the API server
	$(RUN)/stowplan demo

demo-frameworks: $(VENV)/installed ## TensorFlow and PyTorch train as gangs through Kubeflow's operator
	$(RUN)/python -m deploy.local.frameworks

test: $(VENV)/installed ## every test, on a real kube-apiserver
	$(RUN)/python -m deploy.local.build
	$(RUN)/python -m deploy.local.nvml.build
	$(RUN)/python -c 'from deploy.local.frameworks.operator import ensure_operator; ensure_operator()'
	$(RUN)/python -m deploy.local.helm
	$(RUN)/python -m deploy.local.prometheus
	$(RUN)/python -m pytest -n 2

test-deploy: $(VENV)/installed ## the chart: rendered by Helm, installed, started, attacked, scraped
	$(RUN)/python -m deploy.local.build
	$(RUN)/python -m deploy.local.nvml.build
	$(RUN)/python -m deploy.local.helm
	$(RUN)/python -m deploy.local.prometheus
	$(RUN)/python -m pytest tests/deploy

RAY := build/ray
test-ray: $(VENV)/installed ## a sweep on a Ray head, in an environment of its own that has Ray
	$(PYTHON) -m venv $(RAY)
	$(RUN)/uv pip install --quiet --python $(RAY)/bin/python --require-hashes -r requirements.lock
	$(RUN)/uv pip install --quiet --python $(RAY)/bin/python --no-deps -e .
	$(RUN)/uv pip install --quiet --python $(RAY)/bin/python --constraint requirements.lock --group ray
	$(RAY)/bin/python -m pytest tests/simulations/sweep_on_ray.py

check: $(VENV)/installed ## format, lint, types, import contracts, size gates
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/python -m tests.gates

format: $(VENV)/installed ## rewrite the sources as `check` wants them
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

mutations: $(VENV)/installed ## break each guard on purpose and see a test go red
	$(RUN)/python -m tests.mutations

SEEDS ?= 10000
storms: $(VENV)/installed ## SEEDS long courses of gangs' lives in virtual time: build/bench/life.json
	$(RUN)/python -m simulations.life.many $(SEEDS)

MINUTES ?= 30
soak: $(VENV)/installed ## MINUTES on a real API server among real controllers: build/bench/soak.json
	$(RUN)/python -m deploy.local.build
	$(RUN)/python -m deploy.local.soak --minutes $(MINUTES)

bench-bind: $(VENV)/installed ## pods bound a second, beside kube-scheduler on the same API server
	$(RUN)/python -m tests.benchmarks.bind

bench-reclaim: $(VENV)/installed ## 2,000 borrowed GPUs taken back for one gang
	$(RUN)/python -m tests.benchmarks.reclaim

bench-scale: $(VENV)/installed ## 5,000 nodes and 140,000 pods: restart, memory, snapshot, plan
	$(RUN)/python -m tests.benchmarks.scale

bench-flood: $(VENV)/installed ## what 50,000 pods of one tenant cost another tenant's gangs
	$(RUN)/python -m tests.benchmarks.flood

bench-agent: $(VENV)/installed ## the NVML agent: memory, CPU a probe, writes a minute
	$(RUN)/python -m tests.benchmarks.agent

SEEDS ?= 10000
storms-devices: $(VENV)/installed ## storms around a node's devices: SEEDS=10000
	$(RUN)/python -m deploy.local.nvml.build
	$(RUN)/python -m tests.benchmarks.devices $(SEEDS)

test-gpu: $(VENV)/installed ## the agent on a real GPU; ends with 3 where there is none
	$(RUN)/python -m tests.gpu

bench-packing: $(VENV)/installed ## the FGD experiment: unallocated GPUs beside FGD and a proven floor
	$(RUN)/python -m tests.benchmarks.packing

bench-packing-fresh: $(VENV)/installed ## the same on traces that nobody tuned on
	$(RUN)/python -m tests.benchmarks.packing_fresh

bench-planted: $(VENV)/installed ## gangs that fit by construction: greedy, stowplan, kube-scheduler
	$(RUN)/python -m tests.benchmarks.planted

agreement: $(VENV)/installed ## 1,000 random clusters: the same nodes will do as for the real kube-scheduler
	$(RUN)/python -m tests.agreement

bench-verdict: $(VENV)/installed ## how fast "cannot fit" is proven
	$(RUN)/python -m tests.benchmarks.verdict

bench-simulate: $(VENV)/installed ## invented loads up to a million jobs, a live cycle, and traces: how fast they run
	$(RUN)/python -m tests.benchmarks.simulate

COMPILE := $(RUN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: $(VENV)/installed ## resolve the dependencies anew, those of the images among them
	$(COMPILE) --all-extras --group dev pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock --extra scheduler --extra speed pyproject.toml -o deploy/image/scheduler.lock
	$(COMPILE) --constraint requirements.lock --extra agent pyproject.toml -o deploy/image/agent.lock
	echo hatchling | $(COMPILE) --constraint requirements.lock - -o deploy/image/build.lock

BASES ?=
TAG ?= dev
images: $(VENV)/installed ## both container images; BASES=--unpinned for one that is not released
	@arguments=$$($(RUN)/python -m deploy.image.bases $(BASES)) && for target in scheduler agent; do \
		docker build --file deploy/image/Dockerfile --target $$target --tag stowplan-$$target:$(TAG) $$arguments . \
			|| exit 1; \
	done

sbom: $(VENV)/installed ## what is in each image, and under which licences: build/sbom
	$(RUN)/python -m deploy.image.contents

clean: ## remove what was built in the checkout
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
