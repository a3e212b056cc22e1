"""Persisting what several queries read: in Spark's cache, or in a directory that the user names."""

import logging
import shutil
import uuid
from pathlib import Path

from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.tables.location import absolute, escaped, local_path
from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary

logger = logging.getLogger(__name__)


class Storage:
    """Persists DataFrames until `release`.

    Serverless sessions refuse to cache. There a DataFrame is written below ``path`` and read back, or,
    without a path, computed again for each query: slower, with the same result.

    Args:
        path: directory for what is persisted, as Parquet; None uses Spark's cache. `release` removes what was
            written, see `remove_directory`.
    """

    def __init__(self, path: str | None = None) -> None:
        # a directory of its own, so that it can be removed as a whole
        self._path = None if path is None else f"{absolute(path).rstrip('/')}/cl_spark_{uuid.uuid4().hex}"
        self._cached: list[DataFrame] = []
        self._written: list[DataFrame] = []

    def persist(self, df: DataFrame) -> DataFrame:
        """Persist a DataFrame if the session allows it.

        Returns:
            A DataFrame with the same rows, which are computed once where they could be persisted.
        """
        if self._path is not None:
            self._written.append(df)
            target = f"{self._path}/{uuid.uuid4().hex}"
            df.write.parquet(target)
            return df.sparkSession.read.schema(df.schema).parquet(escaped(target))
        # Spark takes two plans that look alike for the same data, and would answer an audit of files that
        # were replaced from the cache of the audit before. This condition holds for every row, and no other
        # plan has it.
        own = df.where(F.lit(uuid.uuid4().hex).isNotNull())
        try:
            cached = own.persist(StorageLevel.MEMORY_AND_DISK)
        except (PySparkException, NotImplementedError):
            return df
        self._cached.append(cached)
        return cached

    def release(self) -> None:
        """Free the cache, and remove what was written."""
        while self._cached:
            self._cached.pop().unpersist()
        if self._path is not None and self._written:
            remove_directory(self._written[0].sparkSession, self._path)
            self._written.clear()


def remove_directory(spark: SparkSession, path: str) -> None:
    """Remove a directory of this machine, or empty one of another file system.

    Spark has no public call that removes a directory, but it can replace what is there by an empty table. A
    log line tells so, or that the files stay.

    Args:
        spark: the session.
        path: the directory, with everything below it.
    """
    local = Path(local_path(path))
    if local.exists():
        shutil.rmtree(local, ignore_errors=True)
        return
    try:
        spark.range(0).write.mode("overwrite").parquet(path)
        logger.info("evidence_path: %s is empty now, and can be removed", path)
    except SPARK_ERRORS as error:
        logger.warning("evidence_path: remove %s yourself; Spark cannot: %s", path, error_summary(error))
