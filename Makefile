.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-extras setup-beam quickstart preprocess train evaluate translate
.PHONY: test test-beam test-gpu lint check bench bench-gpu results lock clean

PYTHON ?= python3.11
FLAGS ?=
WORKDIR ?= runs/quickstart/work
DATA_DIR ?= runs/quickstart/data
SPLIT ?= test
CHECKPOINTS ?= best
GPU ?=
KIND = $(if $(GPU),-gpu)
RUN = .venv/bin/python -m
BENCH = $(RUN) tests.benchmarks.record

help: ## List the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.runtime$(KIND) ## Install what a run needs into .venv; GPU=1 with CUDA.

setup-dev: .venv/.dev ## Install what tests and lint need as well.

setup-extras: setup ## Install what parquet, some exports, the page to try and studies need.
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-extras.lock

setup-beam: .venv-beam/.beam ## Install what preprocessing --runner=beam needs into .venv-beam.

.venv-beam/.beam: requirements-beam.lock
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-beam.lock
	@touch $@

.venv/.runtime$(KIND): requirements$(KIND).lock
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements$(KIND).lock
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime$(KIND)
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

quickstart: setup ## Preprocess, train, evaluate the built-in corpus: 3 to 5 minutes on 2 cores.
	$(RUN) preprocessing.build --flagfile=flags/preprocess_cmudict.flags
	$(RUN) trainers.seq2seq --flagfile=flags/seq2seq_cmudict.flags
	$(RUN) trainers.evaluate --workdir=runs/quickstart/work --split=test --checkpoints=average:3 --baseline
	@echo
	@echo "Try your own word:"
	@echo "  echo sluice | make translate CHECKPOINTS=average:3"

preprocess: setup ## Turn the text named in FLAGS into a data directory.
	$(RUN) preprocessing.build --flagfile=$(or $(FLAGS),flags/preprocess_cmudict.flags)

train: setup ## Train as FLAGS say.
	$(RUN) trainers.seq2seq --flagfile=$(or $(FLAGS),flags/seq2seq_cmudict.flags)

evaluate: setup ## Score the run in WORKDIR on SPLIT.
	$(RUN) trainers.evaluate --workdir=$(WORKDIR) --split=$(SPLIT) --checkpoints=$(CHECKPOINTS)

translate: setup ## Translate stdin to stdout with the run in WORKDIR.
	@$(RUN) trainers.translate --workdir=$(WORKDIR) --checkpoints=$(CHECKPOINTS)

test: setup-dev ## Run the tests: at most 10 minutes on 2 cores.
	$(RUN) pytest -n auto --dist loadfile --no-loadscope-reorder

test-beam: setup-beam ## Run the tests of --runner=beam, long ones too: 4 minutes.
	.venv-beam/bin/python -m pytest -m "" tests/integration/test_beam.py

lint: setup-dev ## Check style, types and that every flagfile parses.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(RUN) pytest -q tests/unit/flags/test_flagfiles.py

check: lint test ## Everything, the long tests included.
	$(RUN) pytest -m long -n auto --dist loadfile --no-loadscope-reorder

bench: setup ## Print tables of figures, kept in runs/bench.jsonl; for DATA_DIR, TEXT (TSV), SRC and WORKDIR.
	$(BENCH) tests.benchmarks.encoding $(if $(TEXT),--train=$(TEXT))
	$(BENCH) tests.benchmarks.reading
	$(BENCH) tests.benchmarks.training
	$(BENCH) tests.benchmarks.recurrent
	$(BENCH) tests.benchmarks.decoding $(if $(SRC),--workdir=$(WORKDIR) --src=$(SRC))
	$(if $(SRC),$(BENCH) tests.benchmarks.exported --workdir=$(WORKDIR) --src=$(SRC))
	$(BENCH) pipeline.inspect --data_dir=$(DATA_DIR) --benchmark_secs=10 --compare --examples=0

results: setup ## Run a row of RESULTS.md again: ROW=trec SEED=1 FLAGS=--dtype=bfloat16; without ROW, list them.
	$(RUN) tests.benchmarks.results $(ROW) $(if $(SEED),--seed=$(SEED)) $(if $(FLAGS),-- $(FLAGS))

test-gpu: setup-dev ## Check the step and exact resume on this host's GPUs (make setup GPU=1).
	$(RUN) pytest tests/gpu

bench-gpu: setup ## Print the step's speed on a GPU: precisions, XLA, share of its peak.
	$(BENCH) tests.benchmarks.gpu

lock: ## Pin the newest versions that requirements*.in allow (needs uv).
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade requirements.in -o requirements.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock requirements-extras.in -o requirements-extras.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock requirements-gpu.in -o requirements-gpu.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock -c requirements-extras.lock requirements-dev.in -o requirements-dev.lock
	cp requirements.lock requirements-beam.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header requirements-beam.in -o requirements-beam.lock

clean: ## Remove what tests and runs left; .venv stays.
	rm -rf runs .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
