#!/usr/bin/env bash
# The tests marked "matrix" on each supported pair of Spark and Delta Lake, each in an environment of its own below .matrix/.
# `scripts/test_matrix.sh 3.5 4.0` runs some of them; further arguments after -- go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SPARK_LOCAL_IP=127.0.0.1 TZ=UTC

wanted=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  wanted+=("$1")
  shift
done
[ $# -gt 0 ] && shift
[ ${#wanted[@]} -gt 0 ] || wanted=(3.5 4.0 4.1)

packages() {
  case "$1" in
    3.5) echo "pyspark==3.5.9 delta-spark==3.3.3 pandas<3 numpy<2.3 setuptools<81" ;;
    4.0) echo "pyspark==4.0.1 delta-spark==4.0.0 pandas<3 numpy<2.4" ;;
    4.1) echo "pyspark==4.1.1 delta-spark==4.3.1" ;;
    *) echo "there is no environment for Spark $1: choose 3.5, 4.0 or 4.1" >&2; return 2 ;;
  esac
}

mapfile -t files < <(grep -rl --include='test_*.py' 'mark\.matrix' tests | sort) # others import what is not installed here
failed=()
for version in "${wanted[@]}"; do
  pinned=$(packages "$version")
  home=.matrix/$version
  if [ "$(cat "$home/made-from" 2>/dev/null)" != "$pinned" ]; then
    echo "Setting up $home: $pinned"
    rm -rf "$home"
    "${PYTHON:-python3.11}" -m venv "$home"
    # shellcheck disable=SC2086
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check $pinned \
      altair hypothesis pytest pytest-randomly pytest-timeout scikit-learn scipy vl-convert-python "grpcio>=1.67" "grpcio-status>=1.67" \
      "googleapis-common-protos>=1.65" "zstandard>=0.23" --editable .
    "$home/bin/python" scripts/install_delta_jars.py
    echo "$pinned" > "$home/made-from"
  fi
  echo "== Spark $version"
  PATH=$PWD/$home/bin:$PATH PYSPARK_PYTHON=$PWD/$home/bin/python "$home/bin/python" -m pytest -m matrix "${files[@]}" "$@" || failed+=("$version")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed on Spark ${failed[*]}" >&2; exit 1; }
