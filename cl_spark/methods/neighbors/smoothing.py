"""Predicted probabilities, smoothed: those of the rows that are near are mixed in."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.storage import keep_with
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels import dense_probs
from cl_spark.kernels.arrays import Int64s
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.label_shares import PRED_PROBS
from cl_spark.methods.neighbors.neighbor_index import AUTO, NeighborIndex, open_index
from cl_spark.methods.neighbors.pred_probs import ProbTable
from cl_spark.methods.neighbors.search import BYTES_OF_PARTITION, NEIGHBORS
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.pandas_frames import to_spark

_OTHER, _PLACE = "_other", "_place"
OWN_PLACE = -1
"""Place of a row before its neighbors."""


def smooth_pred_probs(
    df: DataFrame | pd.DataFrame,
    *,
    id_col: str = "id",
    features_col: str | Sequence[str] = "features",
    label_col: str = "label",
    pred_probs_col: str = "pred_probs",
    own_weight: float = 0.5,
    k: int = 10,
    metric: str = AUTO,
    method: str = AUTO,
    index: NeighborIndex | None = None,
    evidence_path: str | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Mix the predicted probabilities of each row with those of the rows that are near it.

    A model that saw few examples, or wrong labels, is unsure where all rows around are sure. The smoothed
    probabilities are own_weight * p + (1 - own_weight) * the mean p of the k nearest other rows. Where near
    rows are of one class they tell wrong labels better; see the experiment in docs/experiments.md.

    Each row's array is sent to the rows that it is near to, k times in all.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame.
        id_col: id column: whole numbers or text.
        features_col: column of vectors, or a list of columns of numbers; see `NeighborIndex`.
        label_col: column of given labels, which is passed on.
        pred_probs_col: column of out-of-sample probabilities: arrays of K numbers, or ML vectors.
        own_weight: weight of a row's own probabilities, from 0 to 1. Default 0.5; 1 mixes nothing in.
        k: how many neighbors are mixed in. Default 10.
        metric: "cosine", "euclidean", or "auto": cosine above 3 dimensions, else Euclidean.
        method: how neighbors are searched: "exact", "approximate", or "auto"; see `NeighborIndex`.
        index: a `NeighborIndex` of the same rows, which then is not made anew. Default None.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns a pandas DataFrame into Spark's; default the active one.

    Returns:
        The id column, the label column, and pred_probs (K numbers), as `LabelAudit` takes them. Neighbors
        whose probabilities cannot be used, which the log tells, are left out of the mean. A row whose own
        cannot be used, or whose neighbors' all cannot, keeps its own; a row whose features or id cannot be
        used is not there, `NeighborIndex.rejected` lists it.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable, or all rows are; scores such as logits are unusable.

    Example:
        >>> rows = [(i, [float(i // 4), float(i % 2)], i // 4, [0.75, 0.25]) for i in range(8)]
        >>> rows[0] = (0, [0.0, 0.0], 0, [0.25, 0.75])
        >>> rows = pd.DataFrame(rows, columns=["id", "features", "label", "pred_probs"])
        >>> smooth_pred_probs(rows, k=3).orderBy("id").first().pred_probs
        [0.5, 0.5]
    """
    if isinstance(own_weight, bool) or not isinstance(own_weight, int | float) or not 0 <= own_weight <= 1:
        raise ConfigurationError(f"own_weight must be from 0 to 1, got {own_weight!r}")
    table = to_spark(df, spark)
    found = resolve_columns(table, "df", {"id_col": id_col, "label_col": label_col})
    key, label = found["id_col"], found["label_col"]
    probs = ProbTable(table, key, pred_probs_col)
    given, num_classes = probs.select_probs().cast("array<double>"), probs.find_num_classes()
    # ids of several rows are looked for, and told, by the index
    probs.tell_faults(probs.score("least_confidence", num_classes, None, check_ids=False))
    index = open_index(
        index, table, id_col, features_col, metric=metric, method=method, evidence_path=evidence_path
    )
    lists = index.own_neighbor_lists(k)
    own_id = F.col(quoted(key)).cast(lists.schema[ID].dataType)
    lists = lists.join(table.select(own_id.alias(ID)), ID, "left_semi")  # an index may have more rows
    pairs = lists.select(ID, F.posexplode(NEIGHBORS).alias(_PLACE, _OTHER))
    of_other = table.select(own_id.alias(_OTHER), given.alias(PRED_PROBS))
    none = F.lit(None).cast(table.schema[label].dataType).alias(label)
    near = pairs.join(of_other, _OTHER).select(ID, _PLACE, PRED_PROBS, none)
    own = table.select(
        own_id.alias(ID), F.lit(OWN_PLACE).alias(_PLACE), given.alias(PRED_PROBS), quoted(label)
    )
    together = own.join(lists.select(ID), ID).union(near)
    num_bytes = index.num_rows * (k + 1) * num_classes * 8
    arranged = together.repartition(num_bytes // BYTES_OF_PARTITION + 1, ID).sortWithinPartitions(ID, _PLACE)
    kinds = {field.name: field.dataType.simpleString() for field in together.schema.fields}
    schema = f"{ID} {kinds[ID]}, {quoted(label)} {kinds[label]}, {PRED_PROBS} array<double>"
    mixed = map_in_arrow(arranged, MixProbs(num_classes, own_weight), schema)
    of_id = F.col(ID).cast(table.schema[key].dataType).alias(key)
    return keep_with(mixed.select(of_id, quoted(label), PRED_PROBS), index)


@dataclass(frozen=True)
class MixProbs:
    """Mixes probabilities with the mean of those of the neighbors.

    Attributes:
        num_classes: K.
        own_weight: weight of a row's own.
    """

    num_classes: int
    own_weight: float

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map batches of id, place, probabilities and label, sorted by id and place."""
        kept: pa.RecordBatch | None = None  # of the last id, whose neighbors may go on in the next batch
        for batch in batches:
            if not batch.num_rows:
                continue
            if kept is not None:
                batch = pa.Table.from_batches([kept, batch]).combine_chunks().to_batches()[0]
            last = int(_find_starts(batch)[-1])
            if last:
                yield self._mix(batch.slice(0, last))
            kept = batch.slice(last)
        if kept is not None:
            yield self._mix(kept)

    def _mix(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        starts = _find_starts(batch)
        ids, places, given, labels = batch.columns
        is_own = places.to_numpy() == OWN_PLACE
        probs, faults = dense_probs.to_matrix(given, self.num_classes)
        row = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(probs)]))
        others = np.flatnonzero(~is_own & (faults == 0))
        counts = np.bincount(row[others], minlength=len(starts))
        firsts = np.cumsum(counts) - counts
        is_mixed = (counts > 0) & (faults[starts] == 0)
        sums = np.zeros((len(starts), self.num_classes))
        if len(others):  # from the nearest to the farthest: the same digits in any run
            sums[counts > 0] = np.add.reduceat(probs[others], firsts[counts > 0], axis=0)
        means = sums[is_mixed] / counts[is_mixed, None]
        values = self.own_weight * probs[starts[is_mixed]] + (1 - self.own_weight) * means
        offsets = np.arange(len(values) + 1, dtype=np.int32) * self.num_classes
        lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
        owned = given.take(pa.array(starts))
        # rows that are not mixed keep their own, which stand behind
        place = np.arange(len(starts)) + len(values)
        place[is_mixed] = np.arange(len(values))
        chosen = pa.concat_arrays([lists, owned.cast(lists.type)]).take(pa.array(place))
        columns = [ids.take(pa.array(starts)), labels.take(pa.array(starts)), chosen]
        return pa.RecordBatch.from_arrays(columns, names=[ID, batch.schema.names[3], PRED_PROBS])


def _find_starts(batch: pa.RecordBatch) -> Int64s:
    """Find where each id begins."""
    codes = batch.column(0).dictionary_encode().indices.to_numpy()
    return np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
