# Everything runs inside the test host (docs/testing.md), which is built on first use: root, Debian packages and PyPI
# are all it needs. A second run starts in about a second.

TESTHOST := tools/testhost
INSIDE   := $(TESTHOST) enter --
SOURCES  := pyodcr tests tools plugins bench

# A host for each worker: no test sees what one of another worker does or leaves. They wait often enough for one more
# worker than there are processors.
worker   = --tx 'popen//python=$(TESTHOST) second --name worker$(1) --alone -- python'
WORKERS  := --dist worksteal $(foreach number,$(shell seq $$(($$(nproc) + 1))),$(call worker,$(number)))

.DEFAULT_GOAL := help
.PHONY: help demo test unit integration check bench shell host clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: host ## checkpoint a Redis, carry it to a second host, go on: through a file, then through S3
	@$(INSIDE) python tools/demo.py

test: host ## every test; PYTEST_ARGS is passed on: make test PYTEST_ARGS='-k restore -x'
	@$(INSIDE) pytest $(WORKERS) $(PYTEST_ARGS)

unit: host ## the tests that need no root, in parallel
	@$(INSIDE) pytest -n auto tests/unit $(PYTEST_ARGS)

integration: host ## the tests with real runtimes and CRIU
	@$(INSIDE) pytest $(WORKERS) tests/integration $(PYTEST_ARGS)

check: host ## format, lint, types, unit tests
	@$(INSIDE) sh -ec 'ruff format --check . $(TESTHOST); ruff check . $(TESTHOST); mypy --explicit-package-bases $(SOURCES); \
		pytest -q -n auto tests/unit'

bench: host ## pyodcr against Podman, in turn; BENCH_ARGS is passed on: make bench BENCH_ARGS='--runtime runc --turns 9'
	@$(INSIDE) python -m bench $(BENCH_ARGS)

shell: host ## a shell in the test host, pyodcr installed
	@$(INSIDE) bash || :

host: ## build the test host if it is not there
	@command -v python3 >/dev/null || { apt-get update -q && apt-get install -y --no-install-recommends python3; }
	@$(TESTHOST) build

clean: ## remove the built host, downloads and caches
	@$(TESTHOST) clean
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
