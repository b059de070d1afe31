# `make dev` runs the whole system, `make test` tests it; both install what they need.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
MEMBERS := libs/common services/gateway services/identity services/metering services/presence services/tenancy

.PHONY: dev test fuzz bench docs lint lock setup clean

dev: setup
	@exec $(VENV)/bin/artcafe dev

test: setup lint
	@$(VENV)/bin/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

# Fuzzes the REST API and the WebSockets for some minutes; `make test` does so for one.
fuzz: setup
	@ARTCAFE_TEST_EXAMPLES=300 $(VENV)/bin/pytest tests/e2e/documents/test_schemathesis.py tests/e2e/websocket/test_fuzz.py $(ARGS)

# All rows take about half an hour. For a selection: make bench ARGS="fanout pairs --quick".
bench: setup
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --group bench
	@PYTHONPATH=tests $(VENV)/bin/python -m bench $(ARGS)

# Regenerates the tables and diagrams of the documentation from the code.
docs: setup
	@PYTHONPATH=. $(VENV)/bin/python -m docs.generate

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy libs/common/src $(foreach s,gateway identity metering presence tenancy,services/$(s)/src) docs/generate
	@$(VENV)/bin/lint-imports --no-cache

setup: $(STAMP)

$(STAMP): requirements.lock $(MEMBERS:%=%/pyproject.toml)
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --no-deps $(MEMBERS:%=-e %)
	@touch $@

# Pins every dependency again, without the registry's address.
lock:
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-package artcafe-common $(foreach s,gateway identity metering presence tenancy,--no-emit-package artcafe-$(s)) \
		--group test --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	@rm -rf $(VENV) .dev
