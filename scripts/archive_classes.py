"""Archive the classes that Spark loads, so that every Java of this environment starts with them.

A small program tells which classes those are. Java writes them to an archive when it ends (class-data
sharing), and Spark's start-up script names that to each Java it starts. One that cannot use it, such as
another version, does without. An audit loads few classes more: an archive made by one is no better.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

PROGRAM = Path(__file__).with_name("minimal_program.py")
SPARK_HOME = Path(pyspark.__file__).parent
ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"

# An archive fits class paths that begin as its own, and holds no directory. Spark puts its configuration
# first: it comes last here, and whoever puts more on the class path does without the archive.
START = f"""\
# Written by scripts/archive_classes.py
if [[ -z "$HADOOP_CONF_DIR$YARN_CONF_DIR$SPARK_DIST_CLASSPATH" && -r "{ARCHIVE}" &&
      "$*" != *lassPath* && "$*" != *class-path* && "$*" != *properties-file* ]]; then
  SPARK_SUBMIT_OPTS="-XX:SharedArchiveFile=\\"{ARCHIVE}\\" -Xlog:disable -Xlog:all=error:stderr \
-cp \\"$SPARK_HOME/jars/*:$SPARK_CONF_DIR\\" $SPARK_SUBMIT_OPTS"
fi
"""


def main() -> None:
    """Make the archive, then have Spark's start-up script name it."""
    start = SPARK_HOME / "conf" / "spark-env.sh"
    start.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as home:
        made = Path(home) / ARCHIVE.name
        options = f'-XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit="{made}" -cp "{SPARK_HOME}/jars/*"'
        done = subprocess.run(
            [str(SPARK_HOME / "bin" / "spark-submit"), "--master", "local[*]", str(PROGRAM), f"{home}/table"],
            env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SUBMIT_OPTS": options},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode or not made.exists():
            print("Spark starts without an archive of its classes:", done.stderr[-500:], file=sys.stderr)
            return
        # in one step: a Java that starts meanwhile must not see half of it
        part = ARCHIVE.with_suffix(".part")
        part.write_bytes(made.read_bytes())
        part.replace(ARCHIVE)
    start.write_text(START, encoding="utf-8")


if __name__ == "__main__":
    main()
