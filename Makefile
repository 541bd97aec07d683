# make alone lists the targets. PYTHON chooses the interpreter (3.11 to 3.13), ARGS is passed on.
PYTHON ?= python3
BIN := .venv/bin
FOR_RUNS := .venv/.installed-for-runs
FOR_WORK := .venv/.installed-for-work
FOR_LITERT := .venv-litert/.installed

.DEFAULT_GOAL := help
.PHONY: help train test lint format litert clean

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

train: $(FOR_RUNS) ## Train: make train ARGS="mask=token model/size=small"
	@$(BIN)/python src/train.py $(ARGS)

test: $(FOR_WORK) ## Run the tests: make test ARGS="tests/masking"
	@$(BIN)/pytest $(ARGS)

# benchmarks apart: their masking.py has the name of one of studies
lint: $(FOR_WORK) ## Check style, types and the direction of imports.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy scripts/benchmarks
	@$(BIN)/mypy scripts/check_resilience.py scripts/documents scripts/race scripts/studies
	@$(BIN)/lint-imports --config pyproject.toml

format: $(FOR_WORK) ## Rewrite the code in the project's style.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

litert: $(FOR_LITERT) ## Make .venv-litert (2 GB), which src/export.py format=litert needs.

clean: ## Remove the environments and all caches of tools; runs in logs/ stay.
	rm -rf .venv .venv-litert build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(FOR_RUNS): pyproject.toml
	@$(PYTHON) -m venv .venv
	@echo "Installing into .venv (once; this takes minutes)"
	@$(BIN)/pip install --quiet --editable .
	@touch $@

$(FOR_WORK): pyproject.toml $(FOR_RUNS)
	@$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

# torch for the CPU, in the version of .venv: programs that one writes, the other reads
$(FOR_LITERT): $(FOR_RUNS)
	@$(PYTHON) -m venv .venv-litert
	@echo "Installing into .venv-litert (once; 2 GB, this takes minutes)"
	@version=$$($(BIN)/python -c 'import torch; print(torch.__version__.split("+")[0])') && \
		.venv-litert/bin/pip install --quiet --extra-index-url https://download.pytorch.org/whl/cpu \
		"torch==$$version" "litert-torch>=0.10,<0.11"
	@touch $@
