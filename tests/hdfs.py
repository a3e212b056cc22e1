"""A real HDFS on this machine: a name node and a data node, in a Java process of their own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark
import pytest

SPARK_HOME = Path(pyspark.__file__).parent
JARS = Path(sys.prefix) / "hdfs"
"""Where the cluster's jars (40 MB) are kept from one run of the tests to the next."""


@contextmanager
def hdfs(home: Path) -> Iterator[str]:
    """Start a cluster for a block, and give its URI. Tests are skipped where its jars cannot be fetched."""
    details, log = home / "details.json", home / "log"
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else "java"
    command = [
        str(java), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dtest.build.data={home}",
        "-cp", f"{_fetch_jars()}/*:{SPARK_HOME}/jars/*", "org.apache.hadoop.test.MiniDFSClusterManager",
        "-format", "-datanodes", "1", "-writeDetails", str(details),
    ]  # fmt: skip
    with log.open("w") as out:
        cluster = subprocess.Popen(command, cwd=home, stdout=out, stderr=out)
        try:
            while not details.exists() or not details.read_text():
                assert cluster.poll() is None, log.read_text()[-3000:]
                time.sleep(0.1)
            yield f"hdfs://localhost:{json.loads(details.read_text())['namenode_port']}"
        finally:
            cluster.kill()
            cluster.wait()


def _fetch_jars() -> Path:
    """Fetch the cluster's jars, of the Hadoop that Spark has, by Spark's own resolver."""
    (hadoop,) = (SPARK_HOME / "jars").glob("hadoop-client-api-*.jar")
    version = hadoop.stem.removeprefix("hadoop-client-api-")
    kept = JARS / version
    if kept.is_dir():
        return kept
    part = JARS / f"part-{os.getpid()}"
    (part / "jars").mkdir(parents=True)
    script = part / "nothing.py"
    script.write_text("")
    there = ",".join(f"org.apache.hadoop:hadoop-client-{name}" for name in ("api", "runtime"))
    done = subprocess.run(
        [
            str(SPARK_HOME / "bin" / "spark-submit"), "--master", "local[1]",
            "--packages", f"org.apache.hadoop:hadoop-client-minicluster:{version}",
            "--exclude-packages", there, "--conf", f"spark.jars.ivy={part}", str(script),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "CL_SPARK_REQUIRE_NETWORK" not in os.environ:
        shutil.rmtree(part)
        pytest.skip(f"HDFS could not be fetched: {done.stderr[-500:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    if not kept.exists():  # else another process of the tests was quicker
        (part / "jars").rename(kept)
    shutil.rmtree(part)
    return kept
