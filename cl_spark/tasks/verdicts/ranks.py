"""The rank of rows that have no order of their own: their place in the order of the ids."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.learning.hash_cuts import hash_of
from cl_spark.methods.learning.reviewed_labels import HASH
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tasks.model_comparison.corrections import rank_by_id


def add_id_rank(rows: DataFrame, ids: Sequence[str], num_rows: int) -> DataFrame:
    """Add `rank`, the place of each row in the order of the ids, from 1.

    Args:
        rows: rows with ids; rows that share one are in the order of their hashes.
        ids: the id columns.
        num_rows: number of rows, as a hint.
    """
    keys = [f"_id_{i}" for i in range(len(ids))]
    keyed = rows.select(
        "*", *[F.col(quoted(col)).alias(key) for col, key in zip(ids, keys, strict=True)]
    ).withColumn(HASH, hash_of(rows.columns))
    ranked = rank_by_id(keyed, [*keys, HASH], num_rows=num_rows, few=is_few(num_rows))
    return ranked.select(*map(quoted, rows.columns), c.RANK)
