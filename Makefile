# Aerodrome's commands. `make` or `make help` lists them.
# Needs Python >= 3.11 and make; fetches uv from PyPI when the machine has none.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := .venv/bin
VERSION ?= 3.3
OTHER_LINES ?= 3.2.1 3.0.6 2.10.3 1.10.15
IN_PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder

# A child that writes no bytecode starts Airflow three times slower.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help quickstart test faults lines check mypy ruff imports collected format lock bench bench-loss clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

quickstart: .venv/.synced ## From nothing to a finished workflow on real Airflow (VERSION=3.3 or 2.11)
	$(RUN)/python -m examples.movielens --airflow-version $(VERSION)

test: .venv/.synced ## Every test on the two main lines (faults, lines and bench are longer); says what it skipped and why
	@$(MAKE) --no-print-directory --jobs 2 mypy collected imports ruff
	$(RUN)/pytest $(IN_PARALLEL) --durations 30 --durations-min 1

faults: .venv/.synced ## Every fault at every place on real processes (make test kills at one place of a kind)
	AERODROME_TEST_FAULTS=every $(RUN)/pytest $(IN_PARALLEL) tests/faults tests/unit/controller \
		tests/acceptance/release/test_verification.py tests/acceptance/test_upgrades.py \
		tests/acceptance/test_bad_beginnings.py tests/contract/test_backend_lives.py \
		tests/acceptance/test_updates.py::test_a_failed_update_leaves_everything_as_it_was

lines: .venv/.synced ## The other Airflow lines, and popular packages on the two main ones
	AERODROME_TEST_LINES="$(OTHER_LINES)" $(RUN)/pytest $(IN_PARALLEL) tests/acceptance/release \
		tests/acceptance/airflow tests/acceptance/movielist tests/acceptance/movielens tests/acceptance/test_updates.py \
		tests/acceptance/test_hibernation.py tests/acceptance/test_scaling.py tests/acceptance/test_mwaa_hook.py \
		tests/acceptance/test_otlp.py \
		tests/browser/test_web_login.py::test_a_viewer_sees_the_dag_and_is_refused_to_trigger_it tests/integration/cell

check: .venv/.synced ## Style, types, import directions (about ten seconds)
	@$(MAKE) --no-print-directory --jobs 2 mypy imports ruff

mypy: .venv/.synced
	$(RUN)/mypy

ruff: .venv/.synced
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .

imports: .venv/.synced
	$(RUN)/lint-imports

# pytest compiles each test file at its first reading. Otherwise the three processes of `make test` would do so each.
collected: .venv/.synced
	@$(RUN)/pytest --collect-only -qq -p no:randomly -p no:hypothesispytest > /dev/null || true

format: .venv/.synced ## Lay the code out
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

lock: .venv/.synced ## Recompile the locks: ours and each Airflow version's (CONSTRAINTS=folder of Airflow's own)
	$(UV) lock
	$(RUN)/python -m aerodrome.release.compile $(if $(CONSTRAINTS),--constraints $(CONSTRAINTS))

bench: .venv/.synced ## Measure against stock Airflow on this machine; prints one table
	$(RUN)/python -m benchmarks

bench-loss: .venv/.synced ## Look for lost tasks while workers come, go and are killed (VERSION=3.3 or 2.11)
	$(RUN)/python -m benchmarks.loss --airflow-version $(VERSION)

clean: ## Remove what make and the tests made in this folder
	rm -rf .venv .uv .versions .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.synced: pyproject.toml uv.lock $(filter .uv/bin/uv,$(UV))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Aerodrome needs Python >= 3.11; set it with: make PYTHON=/path/to/python3.12"; exit 1; }
	$(UV) sync --frozen --compile-bytecode --python "$$(command -v $(PYTHON))"
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv
