# Every chore has one word; CI says the same words.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Celery and Dramatiq, to be measured against, and matplotlib: never a dependency of ours.
BENCH_VENV := .cache/bench-venv
BENCH := $(BENCH_VENV)/done
# Sphinx: never a dependency of ours.
DOCS := .cache/docs-venv/done
SBOM := .cache/sbom-venv/done

# Byte code is kept whatever the shell says: each of the many processes of a run starts without compiling all of ours.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo up docs test quick mutants model check image sbom pictures bench bench-peers curves performance chaos soak backlog hosts lock clean help

help: ## What can be done here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/run ## Watch webhooks travel to a CRM, an invoicing system and Maileon
	$(BIN)/relais demo $(ARGS)

up: $(VENV)/run ## Valkey, receiver, workers and console in the foreground
	$(BIN)/relais up $(ARGS)

test: $(VENV)/dev ## All tests
	$(BIN)/pytest -n auto $(ARGS)

quick: $(VENV)/dev ## Tests that need no process and no socket: rules, readers, arithmetic; under a minute
	$(BIN)/pytest -n auto --quick $(ARGS)

mutants: $(VENV)/dev ## Plant faults in a copy and see which the tests miss (ARGS="--seed 7 --count 20 --module rules")
	$(BIN)/python -m tests.mutants $(ARGS)

model: $(VENV)/dev ## Search the models of mailroom and spool exhaustively (docs/model.md)
	$(BIN)/python -m tests.model $(ARGS)

check: $(VENV)/dev ## Lint, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS) ## The documentation as a site in .cache/site; a broken link is an error
	.cache/docs-venv/bin/sphinx-build --quiet --fail-on-warning --keep-going -c docs -d .cache/site-pages . .cache/site
	@echo "open .cache/site/index.html"

image: ## Build the container image without a registry, and try it (root, buildah, debootstrap)
	deploy/image.sh

sbom: $(SBOM) ## What is shipped, as CycloneDX in .cache/relais.cdx.json, and its licences; one that we may not ship is an error
	$(PYTHON) -m venv --clear --without-pip .cache/shipped-venv
	$(BIN)/python -m pip --python .cache/shipped-venv/bin/python install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	.cache/sbom-venv/bin/cyclonedx-py environment .cache/shipped-venv/bin/python --pyproject pyproject.toml --mc-type application --output-reproducible -o .cache/relais.cdx.json
	$(BIN)/python -m tests.licences .cache/relais.cdx.json

pictures: $(VENV)/dev ## Pictures of the console's pages into docs/pictures (needs Chromium)
	$(BIN)/python -m tests.browser.pictures

bench: $(VENV)/dev $(BENCH) ## Speed against baselines (ARGS=--save), or slower than before? (ARGS="--against REV")
	$(BIN)/python -m bench $(ARGS)

curves: $(VENV)/dev ## How cost grows with workers, people, destinations, fan-out and size; keeps the figures
	$(BIN)/python -m bench.curves $(ARGS)

bench-peers: $(VENV)/dev ## The same webhooks through other tools, from their registries; keeps the figures
	$(BIN)/python -m bench.peers $(ARGS)

performance: $(VENV)/dev $(BENCH) ## Plots and docs/performance.md, from the figures kept in docs/figures
	$(BENCH_VENV)/bin/python -m bench.plots
	$(BIN)/python -m bench.page

chaos: $(VENV)/dev ## Two minutes of killing, stopping and lying; prints seed and verdict
	$(BIN)/python -m tests.chaos $(ARGS)

soak: $(VENV)/dev ## An hour of steady load: whether anything grows, and the verdict
	$(BIN)/python -m tests.soak $(ARGS)

hosts: $(VENV)/dev ## Machines apart: links cut, primaries killed (needs root); prints the verdict
	$(BIN)/python -m tests.hosts $(ARGS) || test $$? = 3 # 3: said why it could not

backlog: $(VENV)/dev ## A destination is down: memory, speed and restart with much waiting, and how it drains
	$(BIN)/python -m tests.backlog $(ARGS)

lock: ## Lock the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o requirements.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group dev -o requirements-dev.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group build -o requirements-build.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group docs -o requirements-docs.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group sbom -o requirements-sbom.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra otel -o requirements-otel.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra oidc -o requirements-oidc.lock pyproject.toml

clean: ## Remove what the other words made
	rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Relais needs Python 3.11 or newer, $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements-dev.lock $(VENV)/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(DOCS): requirements-docs.lock | $(BIN)/python
	$(PYTHON) -m venv .cache/docs-venv
	.cache/docs-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

$(SBOM): requirements-sbom.lock $(VENV)/run
	$(PYTHON) -m venv .cache/sbom-venv
	.cache/sbom-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-sbom.lock
	@touch $@

$(BENCH): bench/requirements.txt | $(BIN)/python
	$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt && touch $@ \
		|| echo "Celery, Dramatiq and matplotlib could not be installed: rows against them, and plots, are left out"
