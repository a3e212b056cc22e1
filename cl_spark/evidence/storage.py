"""Keeping what several queries read: cached where the session allows it, else in a directory the user names, else not."""

import shutil
import uuid

from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame


class Storage:
    """Keeps DataFrames until `release`.

    Serverless sessions refuse to cache. There a DataFrame is written below ``path`` and read back, or, without a path,
    computed again for each query: slower, the same result.

    Args:
        path: directory for what is kept, as Parquet; None caches. What this object wrote there is removed by `release`, where
            it is a directory of this machine (as volumes are); elsewhere it stays.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._cached: list[DataFrame] = []
        self._written: list[str] = []

    def persist(self, df: DataFrame) -> DataFrame:
        """The same rows, computed once if the session allows it."""
        if self._path is not None:
            target = f"{self._path.rstrip('/')}/{uuid.uuid4().hex}"
            self._written.append(target)
            df.write.parquet(target)
            return df.sparkSession.read.schema(df.schema).parquet(target)
        try:
            cached = df.persist(StorageLevel.MEMORY_AND_DISK)
        except (PySparkException, NotImplementedError):
            return df
        self._cached.append(cached)
        return cached

    def release(self) -> None:
        """Free the caches, and remove what was written."""
        while self._cached:
            self._cached.pop().unpersist()
        while self._written:
            shutil.rmtree(self._written.pop(), ignore_errors=True)
