"""The value of each labeled example to a classifier by nearest neighbors."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.methods.checks.check_columns import answer
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.search import NEIGHBORS

LABEL = "_label"
_OTHER, _MATCHES, _GAIN = "_other", "_matches", "_gain"

NO_VALUE = 0.5
"""Score of an example that is worth nothing; below it does harm."""


def score_data_values(lists: DataFrame, labels: DataFrame, k: int, id_col: str) -> DataFrame:
    """Score examples by what their labels are worth to a classifier by k nearest neighbors.

    Neighbors without a label are left aside. An example helps those that it is near to if they have its
    label. The value of an example to another one is (whether their labels agree - whether that of the
    farthest of the k does) / k, 0 to those that it is not near to; the mean over all is its Shapley value.
    The score is (value + 1) / 2.

    Args:
        lists: `ID` and `NEIGHBORS`, the ids of the k nearest, nearest first.
        labels: `ID` and `LABEL`, of the examples with a label.
        k: how many neighbors.
        id_col: name of the id column of the answer.

    Returns:
        The id column, score, is_issue (below 0.5) and why, of examples with features and a label.

    Source: Jia et al., "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms", 2019, whose
    recursion telescopes to this difference where each example is compared with its k nearest only, as
    cleanlab's Datalab defines it; specification, section 19.
    """
    pairs = lists.select(ID, F.posexplode(NEIGHBORS).alias("_place", _OTHER))
    of_other = labels.select(F.col(ID).alias(_OTHER), F.col(LABEL).alias("_other_label"))
    known = pairs.join(of_other, _OTHER).join(labels, ID)
    matches = (F.col("_other_label") == F.col(LABEL)).cast("int")
    pairs = known.select(ID, _OTHER, "_place", matches.alias(_MATCHES))
    farthest = F.max_by(_MATCHES, "_place").over(Window.partitionBy(ID))
    gains = pairs.select(F.col(_OTHER).alias(ID), (F.col(_MATCHES) - farthest).alias(_GAIN))
    judged = lists.select(ID).join(labels, ID)
    scale = 2.0 * k * max(judged.count(), 1)
    summed = gains.groupBy(ID).agg(F.sum(_GAIN).alias(_GAIN))
    gain = F.coalesce(F.col(_GAIN), F.lit(0))
    values = judged.join(summed, ID, "left").select(F.col(ID).alias(id_col), gain.alias(_GAIN))
    score = F.lit(NO_VALUE) + F.col(_GAIN) / F.lit(scale)
    return answer(values, id_col, score, F.col(_GAIN) < 0, F.lit("rows near it have other labels"))
