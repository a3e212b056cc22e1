# Each target runs a script of scripts/, which also runs without make. `make` alone lists the targets.

PYTHON = .venv/bin/python

.DEFAULT_GOAL = help
.PHONY: help setup test fast faults matrix lint docs bench quickstart

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 12

setup: ## make .venv with the development tools
	scripts/setup.sh dev

test: ## run lint, types and all tests
	scripts/test.sh

fast: ## run lint, types and the quick tests
	scripts/test.sh fast

faults: ## kill drivers, executors and streams as often as docs/reliability.md says
	scripts/test.sh faults

matrix: ## run the marked tests on every supported version of Spark and Delta Lake
	scripts/test_matrix.sh

lint: setup ## run the checks of .pre-commit-config.yaml
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON) scripts/document.py --check

docs: setup ## write the generated pages and notebooks, and build the site
	$(PYTHON) scripts/document.py
	$(PYTHON) scripts/make_notebooks.py
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true .venv/bin/mkdocs build --strict --site-dir artifacts/site

bench: setup ## measure an audit of 200,000 x 1,000 beside reading the files and cleanlab
	$(PYTHON) scripts/bench.py

quickstart: ## audit the sample and write its report
	scripts/quickstart.sh
