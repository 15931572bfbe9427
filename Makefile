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
CHECK_ENV := .venv-check
WHEEL_ENV := .venv-wheel
BENCH_ENV := .venv-bench
DOCS_ENV := .venv-docs
STAMP := .made-by-make
ARGS := --quick
# A comma in the arguments of $(call) would end one of them; in a variable it does not.
EXTRAS := .[testing,pods,archives,watch,fnv]
COVERAGE := --cov --cov-report=term
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

# $(call install,DIRECTORY,WHAT TO INSTALL)
ifdef UV
install = uv pip install --quiet --python $(1)/bin/python $(2)
else
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)
endif

# The lower bounds in pyproject.toml, as versions to install.
LOWEST = $$("$(PYTHON)" -c 'import tomllib; print(*(d.replace(">=", "==") \
	for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))')

.PHONY: help demo test check test-wheel docs bench realfs deep e2e clean python

help: ## show this list
	@grep -E '^[a-z0-9]+:.*## ' Makefile | sed -E 's/^([a-z0-9]+):.*## /\1|/' \
		| while IFS='|' read -r name text; do printf 'make %-6s %s\n' "$$name" "$$text"; done

demo: $(DEMO_ENV)/$(STAMP) ## play a node agent through kills, upgrades, rot and a full disk
	@$(DEMO_ENV)/bin/checkpointkit demo

test: $(TEST_ENV)/$(STAMP) ## run every test; each branch of src has to be covered
	@$(TEST_ENV)/bin/python -m pytest $(COVERAGE)

# As root, on file systems of its own; what this machine cannot mount is skipped, with the reason.
realfs: $(TEST_ENV)/$(STAMP) ## cut the power of real file systems, fill them, rot them
	@$(TEST_ENV)/bin/python -m pytest -n 0 -q -rs -s -m realfs tests/realfs

deep: $(TEST_ENV)/$(STAMP) ## judge more than a hundred thousand states after a power cut
	@$(TEST_ENV)/bin/python -m pytest -n 0 -q -m deep

# The types are verified as a user sees them: in what is installed from the wheel, away from src.
check: $(CHECK_ENV)/$(STAMP) ## lint, check types, imports, spelling and what would be published
	$(CHECK_ENV)/bin/ruff check --quiet
	$(CHECK_ENV)/bin/ruff format --quiet --check
	$(CHECK_ENV)/bin/mypy
	$(CHECK_ENV)/bin/pyright --pythonpath $(CHECK_ENV)/bin/python
	PYTHONPATH=src $(CHECK_ENV)/bin/lint-imports --no-cache
	$(CHECK_ENV)/bin/codespell
	$(CHECK_ENV)/bin/validate-pyproject pyproject.toml
	rm -rf dist
	$(CHECK_ENV)/bin/python -m build --no-isolation --outdir dist . >/dev/null
	$(CHECK_ENV)/bin/twine check --strict dist/*
	$(CHECK_ENV)/bin/check-wheel-contents dist/*.whl
	$(call install,$(CHECK_ENV),--force-reinstall --no-deps dist/*.whl)
	cd $(CHECK_ENV) && export PATH="$$PWD/bin:$$PATH" \
		&& { pyright --verifytypes checkpointkit --ignoreexternal >types.txt || { cat types.txt; exit 1; }; }

# Away from src, so that only the wheel can be imported.
test-wheel: python ## run the tests against the built wheel and the lowest allowed dependencies
	rm -rf build/wheel && mkdir -p build/wheel
	cp -R tests benchmarks deploy examples docs README.md pyproject.toml LICENSE CHANGELOG.md CONTRIBUTING.md \
		SECURITY.md typing_tests build/wheel
	@$(call make_env,$(WHEEL_ENV),--group test,25.1)
	$(call install,$(WHEEL_ENV),dist/*.whl $(LOWEST))
	cd build/wheel && ../../$(WHEEL_ENV)/bin/python -m pytest -p no:cacheprovider

docs: $(DOCS_ENV)/$(STAMP) ## build the documentation into build/docs; a warning is an error
	@$(DOCS_ENV)/bin/python -m sphinx -E -n -W --keep-going -q -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

# As root; where something is missing, that is the reason why all of it is skipped. Builds
# Kubernetes once, into ~/.cache/checkpointkit-cluster: some 10 minutes on two cores.
e2e: $(TEST_ENV)/$(STAMP) ## keep pods alive on a real kubelet while its API server is down
	@$(TEST_ENV)/bin/python -m pytest -n 0 -q -rs -s -m e2e tests/e2e

bench: $(BENCH_ENV)/$(STAMP) ## measure against bare system calls, and against others
	@$(BENCH_ENV)/bin/python benchmarks/bars.py
	@$(BENCH_ENV)/bin/python -m benchmarks.evolution
	@$(BENCH_ENV)/bin/python -m benchmarks.pods
	@$(BENCH_ENV)/bin/python -m benchmarks.archives
	@$(BENCH_ENV)/bin/python -m benchmarks.kubelet
	@$(BENCH_ENV)/bin/python -m benchmarks $(ARGS)

clean: ## remove the environments and whatever builds and tests left
	rm -rf $(TEST_ENV) $(DEMO_ENV) $(CHECK_ENV) $(WHEEL_ENV) $(BENCH_ENV) $(DOCS_ENV) build dist htmlcov .coverage .coverage.* \
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
	@$(call make_env,$(TEST_ENV),--editable '$(EXTRAS)' --group test,25.1)
	@touch $@

$(CHECK_ENV)/$(STAMP): pyproject.toml Makefile | python
	@echo "making $(CHECK_ENV) (what checks the code)"
	@$(call make_env,$(CHECK_ENV),'$(EXTRAS)' --group check,25.1)
	@touch $@

$(DOCS_ENV)/$(STAMP): pyproject.toml Makefile | python
	@echo "making $(DOCS_ENV) (what builds the documentation)"
	@$(call make_env,$(DOCS_ENV),--editable '$(EXTRAS)' --group docs,25.1)
	@touch $@

$(BENCH_ENV)/$(STAMP): pyproject.toml Makefile | python
	@echo "making $(BENCH_ENV) (what it is measured against)"
	@$(call make_env,$(BENCH_ENV),--editable '$(EXTRAS)' --group bench,25.1)
	@touch $@
