"""Label corrections: the examples whose given label was corrected, in the order of their ids."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from cl_spark.evidence.class_columns import find_name
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.learning.reviewed_labels import CORRECTED, GIVEN, HASH, ReviewedLabels
from cl_spark.tables import columns as c
from cl_spark.tasks.model_comparison.tables import CORRECTED_LABEL

NUM_PARTS = 256
"""Parts, about so many, that many corrections are sorted in."""

_PART, _BOUNDS = "_part", "_bounds"


def list_corrections(
    labels: ReviewedLabels, id_types: Mapping[str, DataType], class_names: Sequence[str] | None
) -> DataFrame:
    """List the corrected examples: ids, given_label, corrected_label, rank.

    Args:
        labels: given and corrected labels of all examples.
        id_types: the id columns, and their types in the input, in the order of `labels.ids`.
        class_names: names that are shown for classes; None: their indices.
    """
    few = is_few(labels.num_corrected)
    # nulls, where no label is right, do not compare
    rows = labels.rows.where(F.col(CORRECTED) != F.col(GIVEN))
    ranked = rank_by_id(rows, labels.ids.names, num_rows=labels.num_corrected, few=few)
    ids = [
        F.col(name).cast(kind).alias(col)
        for name, (col, kind) in zip(labels.ids.names, id_types.items(), strict=True)
    ]
    shown = [
        (F.col(name) if class_names is None else find_name(F.col(name), class_names)).alias(col)
        for name, col in ((GIVEN, c.GIVEN_LABEL), (CORRECTED, CORRECTED_LABEL))
    ]
    return ranked.select(*ids, *shown, c.RANK)


def rank_by_id(rows: DataFrame, ids: Sequence[str], *, num_rows: int, few: bool) -> DataFrame:
    """Add `rank`, the place of each row in the order of the ids, from 1.

    Args:
        rows: rows with ids that differ, and `_hash`, a hash of them.
        ids: the id columns.
        num_rows: number of rows, as a hint.
        few: sort all rows together. Else they are sorted in parts, whose bounds are some of the ids: those
            that the hash picks, so that another query finds the same ones. The ranks are the same.
    """
    if few:
        return add_rank(rows.withColumn(_PART, F.lit(0.0)), _PART, ids, c.RANK, few=True).drop(_PART)
    is_bound = F.pmod(HASH, F.lit(max(1, num_rows // NUM_PARTS))) == 0
    bounds = rows.where(is_bound).agg(F.collect_list(F.struct(*ids)).alias(_BOUNDS))
    placed = rows.crossJoin(F.broadcast(bounds))
    below = F.expr(f"size(filter({_BOUNDS}, bound -> bound < struct({', '.join(ids)})))")
    # a part's number never falls as the id rises
    placed = placed.withColumn(_PART, below.cast("double")).drop(_BOUNDS)
    return add_rank(placed, _PART, ids, c.RANK, few=False).drop(_PART)
