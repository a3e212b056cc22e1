#!/usr/bin/env bash
# Lint, types and tests. `test.sh fast` leaves out the slow tests; further arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh dev
export SPARK_LOCAL_IP=127.0.0.1 TZ=UTC PYSPARK_PYTHON=$PWD/.venv/bin/python
export PATH=$PWD/.venv/bin:$PATH
select=()
if [ "${1:-}" = fast ]; then
  shift
  select=(-m "not slow")
fi
ruff check .
ruff format --check .
mypy
lint-imports
pytest "${select[@]}" "$@"
