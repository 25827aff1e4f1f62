# Everything sets itself up: each target makes or reuses the virtual environment that it needs.
#   make demo    see edgead work (no torch)          make test     every test
#   make line-demo   a line without hardware: virtual camera, PLC, broker, and the operator's page in a browser
#   make check   linters, types, import contracts    make bench    beside other tools (which it installs: some GB)
#   make faults  every write, fsync, rename ... of every verb fails once     make soak    a million frames, a million lines
#   make fuzz    damaged inputs for every parser, FUZZ_SECONDS (3600) in all
#   make test-plugin   docs/write-a-plugin.md, from wheels in fresh environments (needs a package index)
# Another Python: make PYTHON=python3.12 demo
# Benchmarks take data in MVTec's layout, and ResNet-18's weights as .safetensors:
#   make bench DATA="photos/a photos/b" WEIGHTS=FILE      one table: side by side, the search, the forms, starting
#   make bench-compare TABLE=OLD.json                       exits with 1 where the newest table has become slower

PYTHON ?= python3
FUZZ_SECONDS ?= 3600
# Test files side by side, one a core; a file's tests stay together, since they share what was fitted.
SIDE_BY_SIDE = -n auto --maxprocesses 4 --dist loadfile
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

.PHONY: demo line-demo test test-plugin check bench bench-compare bench-accuracy faults soak fuzz clean
.DELETE_ON_ERROR:

demo: .venv/.has-all
	.venv/bin/edgead demo

line-demo: .venv/.has-dev
	.venv/bin/python tools/line_demo.py

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
	.venv/bin/python tools/soak_web.py

fuzz: .venv/.has-dev
	.venv/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# One table, edgead-bench/table.md and .json. What lacks images, weights, the peers or a processor is in it with the
# reason. PEERS=none leaves the peers out.
bench: .venv/.has-dev
	.venv/bin/python benchmarks/table.py $(DATA) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(PEERS),--peers $(PEERS))

# Whether anything in edgead-bench/table.json is slower than in an older table: ratios alone, by over TOLERANCE (0.15).
# ALLOW_MISSING=1 on a machine that can't measure all that the older table has.
bench-compare: .venv/.has-dev
	@test -n "$(TABLE)" || { echo 'name the older table: make bench-compare TABLE=FILE.json' >&2; exit 2; }
	.venv/bin/python benchmarks/compare_tables.py $(TABLE) edgead-bench/table.json \
	  $(if $(TOLERANCE),--tolerance $(TOLERANCE)) $(if $(ALLOW_MISSING),--allow-missing)

# What a form costs in accuracy, through both gates, on three data sets and seeds: an hour or more.
bench-accuracy: .venv/.has-dev
	@test -n "$(DATA)" -a -n "$(WEIGHTS)" || { \
	  echo 'name data and weights: make bench-accuracy DATA="FOLDER ..." WEIGHTS=resnet18.safetensors' >&2; exit 2; }
	.venv/bin/edgead benchmark --grid benchmarks/accuracy.toml $(addprefix -d ,$(DATA)) --weights $(WEIGHTS) \
	  --out edgead-bench/accuracy.jsonl

clean:
	rm -rf .venv .venv-train .venv-peers edgead-demo edgead-line-demo edgead-bench

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
