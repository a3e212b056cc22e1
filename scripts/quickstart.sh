#!/usr/bin/env bash
# Audits the sample of handwritten digits that ships with the package and shows what is wrong with its labels.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$here/scripts/setup.sh"
cd "$here"
echo "Auditing 1,797 handwritten digits, some with labels flipped on purpose ..."
.venv/bin/cl-spark audit --sample digits --output "$here/quickstart_output" --run-id quickstart "$@"
echo "The tables are in $here/quickstart_output (Delta). Audit your own with: .venv/bin/cl-spark audit --help"
