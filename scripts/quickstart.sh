#!/usr/bin/env bash
# Audits the sample of handwritten digits that ships with the package and shows what is wrong with its labels.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$here/scripts/setup.sh"
cd "$here"
echo "Auditing 1,797 handwritten digits, some with labels flipped on purpose ..."
.venv/bin/cl-spark audit --sample digits --output "$here/quickstart_output" --run-id quickstart --review-columns image --report "$@"
echo "The tables are Delta; open the report in a browser. Audit your own with: .venv/bin/cl-spark audit --help"
