"""The Spark session of a job: only `jobs/` and the command line build one; the library takes its user's."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cl_spark.errors import MissingDependencyError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_OURS = {
    # Rows of many classes stay in the processor's cache, generated code is compiled once,
    # the evidence is not worth compressing, and tables of K rows cross to Python in columns.
    "spark.sql.parquet.columnarReaderBatchSize": "512",
    "spark.sql.codegen.cache.maxEntries": "2000",
    # HotSpot leaves methods beyond 8,000 bytes to its interpreter; Spark had better generate several smaller ones.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_LOCAL = {
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
    # A session of one machine: no more tasks than cores, and Delta's own bookkeeping in two tasks instead of fifty.
    "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
}


@contextmanager
def spark_session(conf: Mapping[str, str], *, delta: bool) -> "Iterator[SparkSession]":
    """The active session if there is one (a notebook, Databricks), else a new one that is stopped afterwards.

    Under spark-submit the cluster manager and its settings are the submitter's. Elsewhere, unless ``spark.remote`` or
    ``spark.master`` say otherwise, it runs on all cores of this machine.

    Args:
        conf: settings of the user, which win.
        delta: whether Delta tables are read or written.

    Raises:
        MissingDependencyError: PySpark, Java or Delta Lake is missing.
    """
    if find_spec("pyspark") is None:
        raise MissingDependencyError("PySpark is not installed: pip install 'cl_spark[spark,delta]'")
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        for key, value in conf.items():
            active.conf.set(key, value)
        yield active
        return
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    remote = conf.get("spark.remote") or os.environ.get("SPARK_REMOTE")
    builder = SparkSession.builder.appName("cl_spark")
    settings = dict(conf)
    if remote is None:
        if not submitted:
            _check_java()
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers run the Python that holds this package
            settings = {"spark.master": os.environ.get("MASTER", "local[*]"), **settings}
        settings = {**_OURS, **settings}
        if settings.get("spark.master", "").startswith("local"):
            settings = {**_LOCAL, **settings}
        if delta:
            settings = {**_DELTA, **settings}
    for key, value in settings.items():
        if key != "spark.remote":
            builder = builder.config(key, value)
    if remote is not None:
        builder = builder.remote(remote)
    elif delta and not submitted and not _delta_on_classpath():
        if find_spec("delta") is None:
            raise MissingDependencyError("Delta Lake is not installed: pip install 'cl_spark[delta]', or use --format parquet")
        from delta import configure_spark_with_delta_pip

        builder = configure_spark_with_delta_pip(builder)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def _check_java() -> None:
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    if shutil.which(java) is None:
        raise MissingDependencyError("Spark needs Java 17 or 21, and none is on PATH or in JAVA_HOME: install a JRE")


def _delta_on_classpath() -> bool:
    """Whether Spark's own defaults already name Delta's jars, as the setup script writes them."""
    import pyspark

    home = os.environ.get("SPARK_HOME") or os.path.dirname(pyspark.__file__)
    defaults = os.path.join(os.environ.get("SPARK_CONF_DIR") or os.path.join(home, "conf"), "spark-defaults.conf")
    if os.path.exists(defaults):
        with open(defaults, encoding="utf-8") as lines:
            return any("delta" in line and line.startswith("spark.jars") for line in lines)
    return False
