# Needs Python 3.11 or newer, make and git. Everything else is installed into .venv, at the versions of constraints.txt.

SUITABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in python3.13 python3.12 python3.11 python3; do \
	"$$each" -c '$(SUITABLE)' >/dev/null 2>&1 && { echo "$$each"; break; }; done)
NO_PYTHON := make: no Python 3.11 or newer with venv is found; install one (on Debian and Ubuntu also python3-venv), or \
	say where one is: make PYTHON=/path/to/python3
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := .venv-oldest

.PHONY: help demo test integration e2e stack docs pictures oldest bench fleet sizing soak lock clean seen faults

help:
	@echo 'make demo    see a loop run, with its metrics'
	@echo 'make test    style, types, tests'
	@echo 'make integration  the tests that run real runners, for minutes'
	@echo 'make e2e     the tests with a real Collector, Prometheus and Jaeger, which are built with Go, once'
	@echo 'make faults  the tests that do harm: kills, dead networks, full disks; FAULTS_RUNS=200 for more random kills'
	@echo 'make stack   start these, to look around'
	@echo 'make docs    what is generated: pages of docs/, dashboards, rules'
	@echo 'make pictures  those in docs/pictures/, taken while loops run'
	@echo 'make seen    the tables of docs/runners.md, from what the tests of real runners see'
	@echo 'make oldest  the tests with the oldest versions of what pyproject.toml asks for'
	@echo 'make bench   what it costs the loop'
	@echo 'make fleet   1,000 loops through agents and a gateway to Prometheus, with what each takes'
	@echo 'make sizing  docs/sizing.md anew, on a machine that does nothing else for half an hour'
	@echo 'make soak    a million iterations with faults throughout, in 20 minutes: does anything grow, is all counted'
	@echo 'make lock    constraints.txt with the newest versions, by Python 3.11'
	@echo 'make clean   remove what these have made'

demo: $(READY)
	@$(BIN)/python demo/demo.py

test: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not integration and not e2e and not faults" -n logical --maxprocesses 8 --dist worksteal

integration: $(READY)
	$(BIN)/python -m pytest -m integration -n 4 --dist worksteal --timeout 300

e2e: $(READY)
	@$(BIN)/python -m stack build || true
	$(BIN)/python -m pytest -m e2e

faults: $(READY)
	$(BIN)/python -m pytest -m faults -n 4 --dist worksteal --timeout 300

stack: $(READY)
	@$(BIN)/python -m stack

docs: $(READY)
	$(BIN)/python -m ralph_otel.reference docs
	$(BIN)/python -m ralph_otel.mixin .
	$(BIN)/python scripts/runners_page.py
	$(BIN)/python scripts/reliability_page.py

pictures: $(READY)
	$(BIN)/python scripts/pictures.py

# What the tests see of each runner, for the tables of docs/runners.md.
seen: $(READY)
	SEEN=write $(BIN)/python -m pytest -m "integration or not integration" -k what_is_seen
	$(BIN)/python scripts/runners_page.py

bench: $(READY)
	$(BIN)/python -m benchmarks

fleet: $(READY)
	$(BIN)/python -m benchmarks.fleet

# The road that is scraped loses figures when the gateway is killed, as the page says, and so ends with 1.
sizing: $(READY)
	$(BIN)/python -m benchmarks.fleet --write
	for road in otlp-only remote-write; do $(BIN)/python -m benchmarks.fleet --write --road $$road 1000 || exit; done
	-$(BIN)/python -m benchmarks.fleet --write --road scrape 1000

# Shorter, say: make soak SOAK='--iterations 20000 --minutes 1'
soak: $(READY)
	nice -n 19 $(BIN)/python -m benchmarks.soak $(SOAK)

# Without those that test what uses the standard library alone.
oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest -m "not integration and not e2e and not faults" --ignore tests/agents --ignore tests/runners

# The environments are made anew when what they are made from changes.
$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(SUITABLE)' 2>/dev/null || { echo '$(NO_PYTHON)' >&2; exit 1; }
	@echo 'Setting up $(VENV): this takes a minute, once.'
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(OLDEST)/.ready: pyproject.toml constraints.txt scripts/oldest.py
	@"$(PYTHON)" -c '$(SUITABLE)' 2>/dev/null || { echo '$(NO_PYTHON)' >&2; exit 1; }
	@echo 'Setting up $(OLDEST): this takes a minute, once.'
	@"$(PYTHON)" -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python scripts/oldest.py > $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python $(PIP_INSTALL) --constraint $(OLDEST)/constraints.txt --editable '.[dev]'
	@touch $@

lock:
	python3.11 -m venv --clear .venv-lock
	.venv-lock/bin/python $(PIP_INSTALL) --upgrade --editable '.[dev]'
	{ echo '# Made by `make lock`: what `make` installs.'; .venv-lock/bin/python -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) $(OLDEST) .venv-lock .hypothesis .mypy_cache .ruff_cache
