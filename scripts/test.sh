#!/usr/bin/env bash
# Lint, types and tests. `test.sh fast` leaves out the slow tests, `test.sh matrix` runs those that run everywhere Spark does;
# further arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh dev
export SPARK_LOCAL_IP=127.0.0.1 TZ=UTC PYSPARK_PYTHON=$PWD/.venv/bin/python
export PATH=$PWD/.venv/bin:$PATH
case "${1:-}" in
  fast) shift; select=(-m "not slow") ;;
  matrix) shift; exec pytest -m matrix "$@" ;;
  *) select=() ;;
esac
ruff check .
ruff format --check .
mypy
lint-imports
pytest "${select[@]}" "$@"
