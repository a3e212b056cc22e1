#!/usr/bin/env bash
# Makes .venv with the pinned dependencies and this package; does nothing where that is done. `setup.sh dev` adds the test tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kind=${1:-run}
lock=requirements.lock
[ "$kind" = dev ] && lock=requirements-dev.lock

java=java
[ -n "${JAVA_HOME:-}" ] && java=$JAVA_HOME/bin/java
version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || true
case "$version" in
  17 | 21) ;;
  *)
    echo "Spark needs Java 17 or 21${version:+ (found $version)}: install it with 'apt-get install openjdk-17-jre-headless'," \
      "'brew install openjdk@17', or from adoptium.net, and set JAVA_HOME if several are installed." >&2
    exit 2
    ;;
esac

# What is installed is known by a hash of what it was made from. What tests need holds what a run needs too:
# the quickstart that a test runs must not put jars in the place of those that other tests read.
made_from() {
  cat requirements.lock "$1" pyproject.toml scripts/setup.sh scripts/install_delta_jars.py scripts/archive_classes.py | sha256sum | cut -d' ' -f1
}
stamp=.venv/made-from-$kind
[ "$(cat .venv/made-from-dev 2>/dev/null)" = "$(made_from requirements-dev.lock)" ] && exit 0
[ "$(cat "$stamp" 2>/dev/null)" = "$(made_from "$lock")" ] && exit 0

python=
for candidate in python3.12 python3.11 python3.10 python3 python; do
  if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "Python 3.10 to 3.13 is needed: install it, or put it on PATH." >&2; exit 2; }

echo "Setting up .venv ($kind) with $("$python" --version): two minutes or three, once."
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$lock"
# by path: else the directory of a clone, which is called like the package, hides it from scripts beside the clone
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --config-settings editable_mode=compat --editable .
.venv/bin/python scripts/install_delta_jars.py
.venv/bin/python scripts/archive_classes.py
made_from "$lock" > "$stamp"
