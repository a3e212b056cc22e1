#!/usr/bin/env bash
# Takes the table widget of the report from its npm package, at the version named here, with its licence. No jQuery comes with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=3.1.5
target=cl_spark/report/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "datatables.net@$version" > /dev/null && tar -xzf ./*.tgz)
cp "$work/package/js/dataTables.min.js" "$target/dataTables.min.js"
cp "$work"/package/[Ll][Ii][Cc]* "$target/dataTables.LICENSE.txt"
