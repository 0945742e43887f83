# Every command makes what it needs: a virtual environment in .venv with the pinned versions, and the package in it.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-matrix lint bench docs build lock clean

demo: $(READY)  ## serve the example Django project
	@$(BIN)/python examples/django_project/serve.py

test: $(READY)  ## every test that a newcomer can wait for
	$(BIN)/python -m pytest -m "not matrix"

test-matrix: $(READY)  ## the cross products, each row in an environment of its own under .venvs
	$(BIN)/python -m pytest -m matrix

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(READY)  ## what a request costs, beside the peers
	$(BIN)/python -m tests.benchmarks

docs: $(READY)  ## the documentation as a site in ./site
	$(BIN)/zensical build --clean

build: $(READY)  ## wheel and source distribution in ./dist
	$(BIN)/python -m build

lock:  ## resolve requirements/dev.in anew
	rm -rf .venvs/lock
	$(PYTHON) -m venv .venvs/lock
	.venvs/lock/bin/pip install --quiet -r requirements/dev.in
	.venvs/lock/bin/pip freeze | sed 's/^backports\.zstd==.*/& ; python_version < "3.14"/' > requirements/dev.txt

clean:
	rm -rf .cache .venv .venvs build dist site

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"asgi-middleware needs Python 3.11 or newer, this is %s; try: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
