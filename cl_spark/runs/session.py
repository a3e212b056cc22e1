"""The Spark session of a job or notebook. Only the functions here build one; the library takes its user's."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cl_spark.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_OURS = {
    # Rows of many classes stay in the processor's cache and cross to Python in batches of megabytes,
    # generated code is compiled once, evidence is not worth compressing, tables of K rows cross in columns.
    "spark.sql.parquet.columnarReaderBatchSize": "512",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
    "spark.sql.codegen.cache.maxEntries": "2000",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # PySpark else tells the JVM of the caller of each function: half of what crosses between the two.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
_LOCAL = {
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
    # One machine has no use for more Spark tasks than cores, nor Delta's bookkeeping for fifty.
    "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
    "spark.databricks.delta.snapshotPartitions": "2",
    # Python workers of this machine are spoken to without the network's delays (0.04 s a Spark task).
    "spark.python.unix.domain.socket.enabled": "true",
    # A local Spark never looks again for tasks that wait for a place nearer to their data, as HDFS names one.
    "spark.locality.wait": "0s",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
}
_BRIEF = {
    # The second compiler takes more of a minute than its code gives back. Alone, the first is given so little
    # room for its code that it stops compiling after half a minute.
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
    "-XX:ReservedCodeCacheSize=240m",
}


@contextmanager
def spark_session(conf: Mapping[str, str], *, delta: bool, brief: bool = False) -> "Iterator[SparkSession]":
    """Start a session for a block. It is stopped afterwards unless it was there or is the platform's."""
    if find_spec("pyspark") is not None:
        from pyspark.sql import SparkSession

        kept = SparkSession.getActiveSession() is not None or _on_databricks()
    spark = start_session(conf, delta=delta, brief=brief)
    try:
        yield spark
    finally:
        if not kept:
            spark.stop()


def start_session(
    conf: Mapping[str, str] | None = None, *, delta: bool = True, brief: bool = False
) -> "SparkSession":
    """Return the active session if there is one (a notebook, Databricks), else start a new one.

    Under spark-submit the cluster manager and its settings are the submitter's, on Databricks the platform's.
    Elsewhere, unless ``spark.remote`` or ``spark.master`` say otherwise, it runs on all cores of this
    machine.

    Args:
        conf: settings of the user, which win.
        delta: whether Delta tables are read or written.
        brief: whether so little is read that Java on this machine had better compile quickly than well.

    Raises:
        ConfigurationError: the session refuses one of the settings.
        MissingDependencyError: PySpark, Java, Delta Lake or its jars are missing, or a Spark Connect server
            where only its client is installed.

    Example:
        >>> start_session() is spark  # there is one already
        True
    """
    if find_spec("pyspark") is None:
        raise MissingDependencyError("PySpark is not installed: pip install 'cl_spark[spark,delta]'")
    from pyspark.sql import SparkSession

    conf, active = conf or {}, SparkSession.getActiveSession()
    if active is None and _on_databricks():
        active = SparkSession.builder.getOrCreate()
    if active is not None:
        _apply(active, conf)
        return active
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    remote = conf.get("spark.remote") or os.environ.get("SPARK_REMOTE")
    builder = SparkSession.builder.appName("cl_spark")
    settings = dict(conf)
    if remote is None:
        if find_spec("py4j") is None:
            raise MissingDependencyError(
                "only Spark's Connect client is installed, which runs nothing itself: name a server "
                "(--spark-conf spark.remote=sc://host:15002, or SPARK_REMOTE), or install PySpark: "
                "pip uninstall pyspark-client, then pip install 'cl_spark[spark,delta]'"
            )
        if not submitted:
            _check_java()
            os.environ.setdefault(
                "PYSPARK_PYTHON", sys.executable
            )  # workers run the Python that holds this package
            settings = {"spark.master": os.environ.get("MASTER", "local[*]"), **settings}
        settings = {**_OURS, **settings}
        if settings.get("spark.master", "").startswith("local"):
            settings = {**_LOCAL, **(_BRIEF if brief else {}), **settings}
        if delta:
            settings = {**_DELTA, **settings}
    fetches_delta = delta and remote is None and not submitted and not _delta_on_classpath()
    for key, value in settings.items():
        if key != "spark.remote":
            builder = builder.config(key, value)
    if remote is not None:
        builder = builder.remote(remote)
    elif fetches_delta:
        if find_spec("delta") is None:
            raise MissingDependencyError(
                "Delta Lake is not installed: pip install 'cl_spark[delta]', or use --format parquet"
            )
        from delta import configure_spark_with_delta_pip

        builder = configure_spark_with_delta_pip(builder)
    from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary

    try:
        return builder.getOrCreate()
    except SPARK_ERRORS as error:
        if fetches_delta and "JAVA_GATEWAY_EXITED" in str(error):
            raise MissingDependencyError(
                "Spark does not start. It would fetch the jars of delta-spark "
                f"{metadata.version('delta-spark')} from Maven Central first. If that failed, name a mirror "
                "(spark_conf: spark.jars.repositories), install a pair of Spark and Delta Lake that the "
                "README lists, or use --format parquet"
            ) from error
        told = ", ".join(conf) or (remote and "SPARK_REMOTE")
        if not told:
            raise
        raise ConfigurationError(
            f"spark_conf: Spark does not start with {told}: {error_summary(error)}"
        ) from error


def _apply(session: "SparkSession", conf: Mapping[str, str]) -> None:
    """Give a session that is there the settings of the user.

    Raises:
        ConfigurationError: it refuses one. The value is not told, as it may be secret.
    """
    from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary

    for key, value in conf.items():
        try:
            session.conf.set(key, value)
        except SPARK_ERRORS as error:
            raise ConfigurationError(
                f"spark_conf: the session that is there refuses {key}: {error_summary(error)}; leave it out, "
                "or set it where that session is started"
            ) from error


def _on_databricks() -> bool:
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def _check_java() -> None:
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    if shutil.which(java) is None:
        raise MissingDependencyError(
            "Spark needs Java 17 or 21, and none is on PATH or in JAVA_HOME: install a JRE"
        )


def _delta_on_classpath() -> bool:
    """Tell whether Delta is among Spark's own jars, as after the set-up, or in Spark's defaults."""
    import pyspark

    home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    defaults = Path(os.environ.get("SPARK_CONF_DIR") or home / "conf") / "spark-defaults.conf"
    lines = defaults.read_text(encoding="utf-8").splitlines() if defaults.exists() else []
    return any((home / "jars").glob("*delta-spark*.jar")) or any(
        "delta" in line and line.startswith("spark.jars") for line in lines
    )
