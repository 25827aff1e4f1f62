# Everything sets itself up: each target makes or reuses the virtual environment that it needs.
#   make demo    see edgead work (no torch)          make test     every test
#   make check   linters, types, import contracts    make bench    beside other tools (which it installs: some GB)
#   make faults  every write, fsync, rename ... of every verb fails once     make soak    a million frames
#   make fuzz    damaged inputs for every parser, FUZZ_SECONDS (3600) in all
#   make test-plugin   docs/write-a-plugin.md, from wheels in fresh environments (needs a package index)
# Another Python: make PYTHON=python3.12 demo
# Benchmarks take data in MVTec's layout, and ResNet-18's weights as .safetensors:
#   make bench DATA="photos/a photos/b" WEIGHTS=FILE

PYTHON ?= python3
FUZZ_SECONDS ?= 3600
# Test files side by side, one a core; a file's tests stay together, since they share what was fitted.
SIDE_BY_SIDE = -n auto --maxprocesses 4 --dist loadfile
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-plugin check bench faults soak fuzz clean
.DELETE_ON_ERROR:

demo: .venv/.has-all
	.venv/bin/edgead demo

check: .venv/.has-dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# First everything that runs without torch, where there is none; then what needs it, in an environment of its own.
test: .venv/.has-dev
	.venv/bin/python -m pytest $(SIDE_BY_SIDE) -m "not torch and not fresh"
	$(MAKE) --no-print-directory .venv-train/.has-dev,train
	.venv-train/bin/python -m pytest $(SIDE_BY_SIDE) -m torch

# What a third party does: wheels, in environments of their own, from a package index.
test-plugin: .venv/.has-dev
	.venv/bin/python -m pytest -m fresh

# These three take an hour each; see docs/reliability.md.
faults: .venv/.has-dev
	.venv/bin/python -m tests.faults.matrix

soak: .venv/.has-dev
	.venv/bin/python tools/soak.py

fuzz: .venv/.has-dev
	.venv/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

bench: .venv/.has-dev
	@test -n "$(DATA)" -a -n "$(WEIGHTS)" || { \
	  echo 'name data and weights: make bench DATA="FOLDER ..." WEIGHTS=resnet18.safetensors' >&2; exit 2; }
	.venv/bin/edgead benchmark --grid benchmarks/accuracy.toml $(addprefix -d ,$(DATA)) --weights $(WEIGHTS) \
	  --out edgead-bench/accuracy.jsonl
	.venv/bin/python benchmarks/latency.py $(firstword $(DATA))/train/good --backbone resnet18 --weights $(WEIGHTS)
	.venv/bin/python benchmarks/nearest.py
	.venv/bin/edgead fit patchcore $(firstword $(DATA))/train/good --size 256x256 --out edgead-bench/reference.edgead
	.venv/bin/edgead export edgead-bench/reference.edgead --target openvino --precision int8 --out edgead-bench/int8.edgead
	.venv/bin/python benchmarks/startup.py edgead-bench/int8.edgead
	.venv/bin/edgead bench edgead-bench/int8.edgead --rate 30 --rate 100 --rate 300 --frames 6000
	for data in $(DATA); do .venv/bin/python benchmarks/side_by_side.py $$data --weights $(WEIGHTS) || exit; done

clean:
	rm -rf .venv .venv-train .venv-peers edgead-demo edgead-bench

# ENVIRONMENT/.has-EXTRAS is there when edgead[EXTRAS] is installed as pyproject.toml says.
.venv/.has-% .venv-train/.has-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "edgead needs Python 3.10 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -n 1);" \
	       "name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing edgead[$*] into $(@D) ..."
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D) || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(@D)/bin/python $(PIP_INSTALL) -e ".[$*]"
	@touch $@
