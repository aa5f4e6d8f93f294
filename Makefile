# Two commands matter: `make demo` and `make test`. Both set up .venv themselves.
# Without a GPU, `make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu` saves a large download.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach p,python3.11 python3 python,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
TORCH_INDEX ?=
JOBS ?= 2
FUZZ_CASES ?= 12000
FUZZ_LOG ?= fuzz.log

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
DIGITS := examples/digits
DEMO_OUT := demo-out
COST_OUT := cost-out
CHECKPOINTS_OUT := checkpoints-out
NIR_OUT := nir-out
BRIAN2_OUT := brian2-out
CROSSBAR_CHECK_OUT := crossbar-check-out
ARCHITECTURES_OUT := architectures-out
BENCH_OUT := bench-out
BENCH_ROWS ?= --quick
DEMO_AS := --recipe 'convert{bits=8}' -T 16 --calibration 'digits\#train' --quiet

ifndef SNNC_DATA
ifneq ($(wildcard ../shared/data),)
export SNNC_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: help demo cost test test-long fuzz checkpoints nir brian2 crossbar-check architectures bench lint clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

.venv/bin/python:
	@[[ -n "$(PYTHON)" ]] || { echo "snnc needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) -e '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) -e '.[demo,dev]'
	@touch $@ .venv/.demo

# Threads cost more than they give on so small a network.
demo: export OMP_NUM_THREADS := 1
demo: .venv/.demo ## compile a pickled network for a crossbar and the CPU, verify both, measure, report
	@mkdir -p $(DEMO_OUT)
	$(BIN)/python $(DIGITS)/pickled.py $(DEMO_OUT)/model.pt
	@echo
	$(BIN)/snnc compile $(DEMO_OUT)/model.pt --target cpu $(DEMO_AS) -o $(DEMO_OUT)/cpu.snnc
	@echo
	$(BIN)/snnc verify $(DEMO_OUT)/cpu.snnc
	@echo
	$(BIN)/snnc compile $(DEMO_OUT)/model.pt --target crossbar $(DEMO_AS) -o $(DEMO_OUT)/crossbar.snnc
	@echo
	$(BIN)/snnc verify $(DEMO_OUT)/crossbar.snnc
	@echo
	$(BIN)/snnc eval $(DEMO_OUT)/cpu.snnc --data 'digits#test' --min-accuracy 0.95
	@echo
	$(BIN)/snnc eval $(DEMO_OUT)/crossbar.snnc --data 'digits#test' --sweep 1,2,4,8,16 \
		--compare $(DEMO_OUT)/model.pt --min-accuracy 0.95 --report $(DEMO_OUT)/report

cost: export OMP_NUM_THREADS := 1
cost: .venv/.demo ## energy, time, area, placement and accuracy against noise of the same network on a crossbar chip
	@mkdir -p $(COST_OUT)
	$(BIN)/python $(DIGITS)/pickled.py $(COST_OUT)/model.pt
	$(BIN)/snnc compile $(COST_OUT)/model.pt --target 'crossbar{technology=isaac-32nm mesh=3x3}' \
		--recipe 'convert{bits=8}' -T 8 --calibration 'digits#train' --quiet -o $(COST_OUT)/net.snnc
	@echo
	$(BIN)/snnc eval $(COST_OUT)/net.snnc --data 'digits#test' --report $(COST_OUT)/report \
		--vary 'device=[gaussian{sigma=0.01} gaussian{sigma=0.02} gaussian{sigma=0.05}]'

lint: .venv/.dev ## ruff, pyright and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: lint ## all checks and tests but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

test-long: .venv/.dev ## the tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m long

# 120,000 cases, which take an hour or more; interrupted, it goes on from $(FUZZ_LOG).
fuzz: .venv/.dev ## damaged and hostile files of every kind, processes killed at random moments, random networks
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m fuzz --cases $(FUZZ_CASES) --log ../$(FUZZ_LOG)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long tests/cli/test_killed.py
	OMP_NUM_THREADS=1 SNNC_RANDOM_NETWORKS=2000 $(BIN)/python -m pytest -q -n $(JOBS) tests/frontends/test_random_networks.py

.venv-libraries/.installed: tests/libraries/requirements.txt constraints.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-libraries
	.venv-libraries/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r tests/libraries/requirements.txt
	@touch $@

checkpoints: export OMP_NUM_THREADS := 1
checkpoints: .venv/.dev .venv-libraries/.installed ## what Lightning, timm, accelerate, … save: taken or refused
	rm -rf $(CHECKPOINTS_OUT)
	.venv-libraries/bin/python -W ignore tests/libraries/save.py $(CHECKPOINTS_OUT)
	$(BIN)/python tests/libraries/table.py $(CHECKPOINTS_OUT)

SPIKING_INSTALL := .venv-spiking/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.venv-spiking/.installed: $(wildcard tests/spiking_libraries/*.txt) constraints.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-spiking
	$(SPIKING_INSTALL) -r tests/spiking_libraries/requirements.txt
	$(SPIKING_INSTALL) --no-deps -r tests/spiking_libraries/libraries.txt
	@touch $@

nir: export OMP_NUM_THREADS := 1
nir: .venv/.dev .venv-spiking/.installed ## networks of snnTorch, Norse, SpikingJelly and sinabs: the library's own spikes
	rm -rf $(NIR_OUT)
	.venv-spiking/bin/python -W ignore tests/spiking_libraries/write.py $(NIR_OUT)
	$(BIN)/python tests/spiking_libraries/compare.py $(NIR_OUT)
	cd $(NIR_OUT) && ../.venv-spiking/bin/python -W ignore ../tests/spiking_libraries/from_snntorch.py
	$(BIN)/snnc compile $(NIR_OUT)/net.nir --frontend 'nir{dialect=snntorch reset=zero}' --target cpu -T 32 \
		-o $(NIR_OUT)/net.snnc
	$(BIN)/snnc verify $(NIR_OUT)/net.snnc

.venv-brian2/.installed: tests/brian2/requirements.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-brian2
	.venv-brian2/bin/python -m pip install --quiet --disable-pip-version-check -r tests/brian2/requirements.txt
	@touch $@

brian2: export OMP_NUM_THREADS := 1
brian2: .venv/.dev .venv-brian2/.installed ## the network of examples/stdp_digits in Brian2: the same spikes and weights
	$(BIN)/python tests/brian2/write.py $(BRIAN2_OUT) $(if $(SNNC_DATA),'mnist:$(SNNC_DATA)/mnist#train[:20]')
	.venv-brian2/bin/python tests/brian2/compare.py $(BRIAN2_OUT)

CROSSBAR_INSTALL := .venv-crossbar/bin/python -m pip install --quiet --disable-pip-version-check

.venv-crossbar/.installed: $(wildcard tests/crossbar_tools/*.txt) | .venv/bin/python
	$(PYTHON) -m venv .venv-crossbar
	$(CROSSBAR_INSTALL) -r tests/crossbar_tools/requirements.txt
	$(CROSSBAR_INSTALL) --no-deps -r tests/crossbar_tools/tools.txt
	@touch $@

crossbar-check: export OMP_NUM_THREADS := 1
crossbar-check: .venv/.dev .venv-crossbar/.installed ## the crossbar's wires beside badcrossbar, its hops beside SANA-FE
	rm -rf $(CROSSBAR_CHECK_OUT)
	$(BIN)/python tests/crossbar_tools/write.py $(CROSSBAR_CHECK_OUT)
	.venv-crossbar/bin/python -W ignore tests/crossbar_tools/compare.py $(CROSSBAR_CHECK_OUT)

.venv-keras/.installed: tests/libraries/keras-requirements.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/python -m pip install --quiet --disable-pip-version-check -r tests/libraries/keras-requirements.txt
	@touch $@

$(ARCHITECTURES_OUT)/keras/models.json: tests/libraries/keras_onnx.py .venv-keras/.installed
	.venv-keras/bin/python -W ignore tests/libraries/keras_onnx.py $(ARCHITECTURES_OUT)/keras

# Interrupted, it goes on from $(ARCHITECTURES_OUT); without it, every network is imported again.
architectures: export OMP_NUM_THREADS := 1
architectures: .venv/.dev .venv-libraries/.installed $(ARCHITECTURES_OUT)/keras/models.json ## the networks of torchvision, timm and Keras: taken or refused
	PYTHONPATH=. .venv-libraries/bin/python -W ignore tests/libraries/architectures.py $(ARCHITECTURES_OUT)
	$(BIN)/python tests/libraries/keras_table.py $(ARCHITECTURES_OUT)/keras

BENCH_INSTALL := .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.venv-bench/.installed: $(wildcard benchmarks/frameworks/*.txt) pyproject.toml constraints.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-bench
	$(BENCH_INSTALL) -e . -r benchmarks/frameworks/requirements.txt
	$(BENCH_INSTALL) --no-deps -r benchmarks/frameworks/libraries.txt
	@touch $@

# Interrupted, it goes on from $(BENCH_OUT). `make bench BENCH_ROWS=` measures all networks, windows and batches: hours.
bench: export OMP_NUM_THREADS := 1
bench: .venv-bench/.installed ## snnc beside SpikingJelly, snnTorch, sinabs, torch, torch.compile and ONNX Runtime
	for threads in 1 2; do \
		.venv-bench/bin/python -W ignore -m benchmarks.frameworks.speed --work $(BENCH_OUT) $(BENCH_ROWS) --threads $$threads \
			$(if $(SNNC_DATA),--data-dir $(SNNC_DATA)) --report $(BENCH_OUT)/report; \
	done

clean: ## remove the virtual environment and everything built
	rm -rf .venv .venv-libraries .venv-keras .venv-spiking .venv-brian2 .venv-crossbar .venv-bench build dist $(DEMO_OUT) $(COST_OUT) $(CHECKPOINTS_OUT) $(NIR_OUT) $(BRIAN2_OUT) $(CROSSBAR_CHECK_OUT) $(ARCHITECTURES_OUT) $(BENCH_OUT) $(FUZZ_LOG) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
