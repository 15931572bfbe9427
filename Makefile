# make demo   install the package into .venv-demo and play the demo
# make test   install it with the tests' needs into .venv and run the tests
#
# uv is used where it is present; otherwise python's own venv and pip.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is CPython 3.11 or newer; `make PYTHON=... test` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; exit; }; done; echo python3)

# Dependency groups came to uv's pip interface late: an older uv counts as none.
UV := $(shell uv pip install --help 2>/dev/null | grep -q -e '--group' && echo uv)

TEST_ENV := .venv
DEMO_ENV := .venv-demo
STAMP := .made-by-make
SOURCES := $(shell find src -type f -name '*.py' -o -type f -name 'py.typed') README.md LICENSE

# $(call make_env,DIRECTORY,WHAT TO INSTALL,PIP'S LOWEST VERSION)
ifdef UV
define make_env
uv venv --quiet --clear --no-project --no-python-downloads --python "$(PYTHON)" $(1)
uv pip install --quiet --python $(1)/bin/python $(2)
endef
else
define make_env
"$(PYTHON)" -m venv --clear $(1) \
	|| { echo "make: '$(PYTHON) -m venv' failed; install python's venv module" >&2; exit 1; }
$(if $(3),$(1)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=$(3)')
$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)
endef
endif

.PHONY: help demo test bench clean python

help: ## show this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /\1|/' \
		| while IFS='|' read -r name text; do printf 'make %-6s %s\n' "$$name" "$$text"; done

demo: $(DEMO_ENV)/$(STAMP) ## play a node agent through kills, upgrades, rot and a full disk
	@$(DEMO_ENV)/bin/checkpointkit demo

test: $(TEST_ENV)/$(STAMP) ## run every test; each branch of src has to be covered
	@$(TEST_ENV)/bin/python -m pytest --cov --cov-report=term

bench: $(TEST_ENV)/$(STAMP) ## measure saves, reads and imports against bare system calls
	@$(TEST_ENV)/bin/python benchmarks/bars.py

clean: ## remove the environments and whatever builds and tests left
	rm -rf $(TEST_ENV) $(DEMO_ENV) build dist htmlcov .coverage .coverage.* \
		.hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: \
	checkpointkit needs Python 3.11 or newer, '$(PYTHON)' is none; name one: make PYTHON=python3.11 ..." \
	>&2; exit 1; }

# Not editable: the demo plays what a user would install, so a changed source is installed anew.
$(DEMO_ENV)/$(STAMP): pyproject.toml Makefile $(SOURCES) | python
	@echo "making $(DEMO_ENV) (checkpointkit alone)"
	@$(call make_env,$(DEMO_ENV),.,)
	@touch $@

$(TEST_ENV)/$(STAMP): pyproject.toml Makefile | python
	@echo "making $(TEST_ENV) (checkpointkit, editable, and what its tests need)"
	@$(call make_env,$(TEST_ENV),--editable . --group test,25.1)
	@touch $@
