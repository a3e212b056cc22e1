"""Models that are trained in a Spark task each: what runs in the worker, and how rows get there."""

import os
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, EstimatorError
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.methods.learning.estimators import predict_probs, train
from cl_spark.methods.learning.features import FeatureDecoder
from cl_spark.methods.learning.training_data import FEATURES, WEIGHT
from cl_spark.tables import columns as c
from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary, find_source_change

TASK, IS_TEST = "_task", "_is_test"
MESSAGE, IS_ERROR = "_message", "_is_error"

COPIES = 4
"""How often a task holds the features at once: as they arrived, in order, those to train on, and as the model
copies these."""

BATCH_ROWS = 10_000
KEYS_TO_TRY = 10_000
LARGE = 2**29
"""Bytes of features from which on the memory of the workers is asked for beforehand."""


def deal_to_tasks(rows: DataFrame, num_tasks: int) -> DataFrame:
    """Repartition rows so that those of each task, by the column `TASK`, are a partition of their own.

    Spark puts a row into the partition that the hash of its key names, so each task gets a key whose hash
    names a partition that no other has: models are trained side by side, and each has the memory of a worker
    to itself.

    Args:
        rows: with a column `TASK`, from 0 on.
        num_tasks: how many tasks there are.
    """
    keys = find_keys(rows.sparkSession, num_tasks)
    key = F.get(F.array(*map(F.lit, keys)), F.col(TASK))
    return rows.withColumn("_key", key).repartition(num_tasks, "_key").drop("_key")


def find_keys(spark: SparkSession, num_partitions: int) -> list[int]:
    """Find whole numbers that Spark's hash puts into partitions 0, 1, ..., n - 1."""
    number = F.col("id").cast("int")
    partition = F.pmod(F.hash(number), F.lit(num_partitions))
    numbers = spark.range(0, max(KEYS_TO_TRY, 100 * num_partitions), 1, 1)
    found = numbers.groupBy(partition.alias("partition")).agg(F.min(number).alias("key")).collect()
    keys = {row.partition: row.key for row in found}
    return [keys[partition] for partition in range(num_partitions)]


def check_memory(spark: SparkSession, num_bytes: int, what: str, num_tasks: int = 1) -> None:
    """Check that the features of a model fit the memory of a worker, beside those of others that are trained
    there at the same time.

    Args:
        spark: the session.
        num_bytes: size of the features.
        what: what is trained on them, for the message.
        num_tasks: how many such models there are.

    Raises:
        ConfigurationError: they do not fit.
    """
    if num_bytes < LARGE:
        return
    asked = map_in_arrow(spark.range(0, 1, 1, 1), _ask_memory, "available long, cores int").collect()[0]
    available = asked.available // max(min(num_tasks, asked.cores), 1)
    if available and num_bytes * COPIES > available:
        raise ConfigurationError(
            f"estimator: {what} is trained in one task, on {num_bytes / 2**30:,.1f} GiB of features; with "
            f"copies it takes some {num_bytes * COPIES / 2**30:,.1f} GiB, and a task has "
            f"{available / 2**30:,.1f} GiB. Take an estimator of Spark ML, which trains on all workers "
            "together, larger workers, or fewer rows"
        )


def _ask_memory(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        cores = pa.array([os.cpu_count() or 1], pa.int32())
        asked = {"available": pa.array([available_memory()]), "cores": cores}
        yield pa.RecordBatch.from_arrays(list(asked.values()), names=list(asked))


def available_memory() -> int:
    """Bytes of memory that this process may still take: what the machine has free, within the limit of its
    container; 0 where the system does not tell.
    """
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/meminfo", encoding="ascii") as lines:  # counts what caches would give back, too
            told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        free = int(told[0]) * 1024 if told else free
    except (OSError, ValueError):
        return 0
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit:
            allowed = limit.read().strip()
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as current:
            used = int(current.read())
        return free if allowed == "max" else min(free, int(allowed) - used)
    except (OSError, ValueError):
        return free


@dataclass(frozen=True)
class Rows:
    """The rows of a task, in the order of their ids, so that a model does not depend on where they were kept.

    Attributes:
        table: ids, class index, features, weight if there are weights, and further columns.
        decode: turns features into what a model takes.
    """

    table: pa.Table
    decode: FeatureDecoder

    @staticmethod
    def gather(
        batches: Iterable[pa.RecordBatch], ids: Sequence[str], decode: FeatureDecoder
    ) -> "Rows | None":
        """Gather the batches of a task; None if there are none."""
        kept = [batch for batch in batches if batch.num_rows]
        if not kept:
            return None
        table = pa.Table.from_batches(kept)
        return Rows(table.take(pc.sort_indices(table, [(name, "ascending") for name in ids])), decode)

    def where(self, condition: pa.Array) -> "Rows":
        """Keep some rows."""
        return Rows(self.table.filter(condition), self.decode)

    @property
    def features(self) -> Any:
        """Features as the model takes them."""
        return self.decode(self.column(FEATURES))

    @property
    def labels(self) -> Any:
        """Class indices: (n,) int64."""
        return self.column(c.LABEL).to_numpy(zero_copy_only=False).astype(np.int64)

    @property
    def weights(self) -> Any:
        """Weights: (n,) doubles; None if there are none."""
        return (
            self.column(WEIGHT).to_numpy(zero_copy_only=False) if WEIGHT in self.table.column_names else None
        )

    def column(self, name: str) -> pa.Array:
        """Return a column as one array."""
        return _one_chunk(self.table.column(name))


@dataclass(frozen=True)
class FoldModel:
    """Function of the record batches of one task: trains on the rows of the other folds, predicts those of
    its own.

    An error of the estimator is returned as a row with its message: raised, it would reach the person as a
    trace of Spark's, after Spark had tried it four times.

    Attributes:
        estimator: anything with fit and predict_proba.
        ids: id columns.
        num_classes: K.
        decode: turns features into what the model takes.
        seed: of the first task; each further task has the next one.
    """

    estimator: Any
    ids: tuple[str, ...]
    num_classes: int
    decode: FeatureDecoder
    seed: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Train and predict."""
        rows = Rows.gather(batches, self.ids, self.decode)
        if rows is None:
            return
        task = rows.column(TASK)[0].as_py()
        is_test = rows.column(IS_TEST)
        test = rows.where(is_test)
        if not test.table.num_rows:
            return
        outcome = run_guarded(self._predict, rows.where(pc.invert(is_test)), test, self.seed + task)
        probs = np.zeros((0, self.num_classes)) if outcome.value is None else outcome.value
        told = test.table.slice(0, len(probs))
        for start in range(0, len(probs), BATCH_ROWS):
            part = told.slice(start, BATCH_ROWS)
            yield self._to_batch(part, probs[start : start + BATCH_ROWS], None, is_error=False)
        for message in outcome.messages:
            none = test.table.slice(0, 1)
            yield self._to_batch(none, None, message, is_error=outcome.value is None)

    def _predict(self, training: Rows, test: Rows, seed: int) -> Any:
        model = train(self.estimator, training.features, training.labels, training.weights, seed)
        return predict_probs(model, test.features, self.num_classes)

    def _to_batch(self, part: pa.Table, probs: Any, message: str | None, *, is_error: bool) -> pa.RecordBatch:
        rows = part.num_rows
        lists = pa.nulls(rows, pa.list_(pa.float64())) if probs is None else _to_lists(probs)
        columns = {name: _one_chunk(part.column(name)) for name in (*self.ids, c.LABEL, TASK)}
        columns |= {
            "pred_probs": lists,
            MESSAGE: pa.array([message] * rows, pa.string()),
            IS_ERROR: pa.array([is_error] * rows),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


@contextmanager
def explain_failures(estimator: Any) -> Iterator[None]:
    """Turn failures of Spark, such as of a worker that lacks a module, into errors of the estimator.

    Raises:
        EstimatorError: Spark failed.
        SourceChangedError: a query found that the input had changed.
    """
    try:
        yield
    except SPARK_ERRORS as error:
        name = type(estimator).__name__
        changed = find_source_change(error)
        if changed is None and "Python worker exited unexpectedly" in str(error):
            raise EstimatorError(
                f"estimator: the process that trained or asked {name} died, perhaps for want of memory: "
                "take a smaller estimator, larger workers, fewer rows, or an estimator of Spark ML"
            ) from error
        raise changed or EstimatorError(f"estimator: {name}: {error_summary(error)}") from error


@dataclass(frozen=True)
class Outcome:
    """Outcome of a piece of work on an estimator.

    Attributes:
        value: the result; None if it failed.
        messages: the error; or warnings of the estimator, each kind once.
    """

    value: Any
    messages: Sequence[str]


def run_guarded(work: Callable[..., Any], *arguments: Any) -> Outcome:
    """Run work of an estimator of the user's; its errors and warnings become messages."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = work(*arguments)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            return Outcome(None, [f"{type(error).__name__}: {error} (at {place})"])
    told = {type(item.message).__name__: (str(item.message).splitlines() or [""])[0] for item in caught}
    quiet = ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
    return Outcome(value, [f"{name}: {text}" for name, text in told.items() if name not in quiet])


def _to_lists(probs: Any) -> pa.Array:
    rows, classes = probs.shape
    return pa.ListArray.from_arrays(
        pa.array(np.arange(rows + 1, dtype=np.int32) * classes), pa.array(np.ascontiguousarray(probs).ravel())
    )


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
