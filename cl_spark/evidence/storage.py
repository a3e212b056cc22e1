"""Persisting what several queries read: in Spark's cache, or in a directory that the user names."""

import atexit
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.forgotten import release_when_forgotten
from cl_spark.evidence.partitions import partitions_for
from cl_spark.tables.location import absolute, escaped, locate_path, remove_directory

ReleasableT = TypeVar("ReleasableT", bound="Releasable")
T = TypeVar("T")


class Releasable:
    """Something that keeps what its answers are computed from until `release`, or the end of its context."""

    def release(self) -> None:
        """Free what is kept."""
        raise NotImplementedError

    def __enter__(self: ReleasableT) -> ReleasableT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def keep_with(answer: T, owner: object) -> T:
    """Return an answer that keeps its owner, and with it the evidence that it is computed from."""
    object.__setattr__(answer, "_audit", owner)
    return answer


class Storage:
    """Persists DataFrames until `release`.

    Serverless sessions refuse to cache. There a DataFrame is written below ``path`` and read back, or,
    without a path, computed again for each query: slower, with the same result.

    Args:
        path: directory for what is persisted, as Parquet; None uses Spark's cache. `release` removes what was
            written, see `cl_spark.tables.location.remove_directory`.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self._directory: str | None = None
        self._cached: list[DataFrame] = []
        self._written: list[DataFrame] = []
        self._cancel_release: Callable[[], object] | None = None

    def persist(self, df: DataFrame, num_rows: int | None = None) -> DataFrame:
        """Persist a DataFrame if the session allows it.

        Args:
            df: the rows.
            num_rows: how many narrow rows these are at most. They are then kept in as many partitions as they
                need: what a join or groupBy made would keep the session's number of them.

        Returns:
            A DataFrame with the same rows, which are computed once where they could be persisted.
        """
        if num_rows is not None:
            df = df.repartition(partitions_for(num_rows))
        if self.path is not None:
            self._written.append(df)
            if self._directory is None:  # of its own, so that it can be removed as a whole
                path = absolute(locate_path(df.sparkSession, self.path)).rstrip("/")
                self._directory = f"{path}/cl_spark_{uuid.uuid4().hex}"
            target = f"{self._directory}/{uuid.uuid4().hex}"
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

    def persist_now(self, df: DataFrame) -> DataFrame:
        """Persist a DataFrame as `persist` does, and compute it at once."""
        kept = self.persist(df)
        kept.count()
        return kept

    def cut(self, df: DataFrame) -> DataFrame:
        """Compute a DataFrame, and cut it off from its past, where the session can: plans that grow from one
        round to the next would become too long for Spark to print. Elsewhere persist it.
        """
        if self.path is None:
            with suppress(PySparkException, NotImplementedError, AttributeError):
                return df.localCheckpoint()
        return self.persist(df)

    def release_with(self, owner: object) -> None:
        """Release what is kept once the owner is forgotten. Not at exit, where Spark takes its cache with it;
        but DataFrames derived from an answer may read files until then.
        """
        if self.path is None:
            self._cancel_release = release_when_forgotten(owner, self.release)
        else:
            atexit.register(self.release)

    def keep(self) -> None:
        """Keep what is cached until `release`, or the end of the session, also without its owner."""
        if self._cancel_release is not None:
            self._cancel_release()

    def release(self) -> None:
        """Free the cache, and remove what was written."""
        atexit.unregister(self.release)
        while self._cached:
            self._cached.pop().unpersist()
        if self._directory is not None and self._written:
            remove_directory(self._written[0].sparkSession, self._directory, "evidence_path")
            self._written.clear()


class StorageOwner(Releasable):
    """Owner of a storage, which goes with it: what an answer of a function is computed from.

    Args:
        storage: the storage.
        others: what the answer needs beside it, and does not own.
    """

    def __init__(self, storage: Storage, *others: object) -> None:
        self._storage, self._others = storage, others
        storage.release_with(self)

    def release(self) -> None:
        """Free what is kept."""
        self._storage.release()
