"""What several queries read is persisted: in Spark's cache, in a directory, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.evidence.storage import Storage


class Refusing:
    """Stands for a DataFrame of a session that does not cache."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def where(self, condition: object) -> "Refusing":
        return self

    def persist(self, level: object) -> DataFrame:
        raise self.error

    def unpersist(self) -> None:
        pytest.fail("it was never persisted")


def test_spark_caches_until_release(spark: SparkSession) -> None:
    storage = Storage()
    persisted = storage.persist(spark.range(3))
    assert persisted.storageLevel.useMemory
    assert persisted.count() == 3
    storage.release()
    assert not persisted.storageLevel.useMemory


@pytest.mark.parametrize("scheme", ["", "file:", "file://"])
def test_a_directory_holds_each_frame_until_release(spark: SparkSession, tmp_path: Path, scheme: str) -> None:
    storage = Storage(f"{scheme}{tmp_path}/")
    frame = spark.range(3).select("id", F.rand().alias("x"))
    first, second = storage.persist(frame), storage.persist(spark.range(2))
    (directory,) = tmp_path.iterdir()
    assert len(list(directory.iterdir())) == 2
    assert first.dtypes == frame.dtypes
    assert first.collect() == first.collect(), "it was computed once"
    assert second.count() == 2
    storage.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("spark")  # columns need a session
@pytest.mark.parametrize("error", [PySparkException("no PERSIST TABLE"), NotImplementedError()])
def test_where_a_session_does_not_cache_the_frame_is_computed_again(error: Exception) -> None:
    storage, frame = Storage(), Refusing(error)
    given: Any = frame
    assert storage.persist(given) is frame
    storage.release()
    assert storage.cut(given) is frame


@pytest.mark.parametrize("is_cached", [True, False])
def test_what_is_cut_off_from_its_past_is_computed_once(
    spark: SparkSession, tmp_path: Path, is_cached: bool
) -> None:
    storage = Storage(None if is_cached else str(tmp_path))
    cut = storage.cut(spark.range(3).select("id", F.rand().alias("x")))
    assert cut.collect() == cut.collect()
    kept = storage.persist_now(cut)
    assert kept.collect() == cut.collect()
    storage.release()
