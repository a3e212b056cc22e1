#!/usr/bin/env bash
# Lint, types and tests. `test.sh fast` leaves out tests marked slow or matrix, `test.sh matrix` runs those that run everywhere Spark does,
# `test.sh faults` kills drivers, executors and streams as often as docs/reliability.md says. Further arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh dev
export SPARK_LOCAL_IP=127.0.0.1 TZ=UTC PYSPARK_PYTHON=$PWD/.venv/bin/python
export PATH=$PWD/.venv/bin:$PATH
# Much of a test is waiting for Spark: two at a time, each with a session of its own.
pytest=(pytest --numprocesses 2 --dist worksteal)
select=()
case "${1:-}" in
  fast) shift; select=(-m "not slow and not matrix") ;;
  matrix) shift; exec "${pytest[@]}" -m matrix "$@" ;;
  faults) shift; CL_SPARK_FAULTS=1 exec pytest tests/faults "$@" ;;
esac
ruff check .
ruff format --check .
mypy
lint-imports
"${pytest[@]}" "${select[@]}" "$@"
