"""The check for rows whose order says what they are: they are not independent of each other."""

import math
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, NumericType, TimestampNTZType, TimestampType

from cl_spark.errors import ColumnTypeError
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.methods.checks.check_columns import answer
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.search import NEIGHBORS
from cl_spark.tables.columns import quoted

POSITION = "_position"
_OTHER, _OTHER_POSITION, _GAP, _NEARNESS = "_other", "_other_position", "_gap", "_nearness"

MOST_PAIRS = 100_000
"""Pairs of neighbors that the test looks at: with as many, it sees a difference of half a percent."""

NUM_PERMUTATIONS = 25
SIGNIFICANT = 0.05
"""Probability of so strange an order by chance, below which the rows are not independent."""

NUM_BUCKETS = 32_768
"""Ranges of the values that order rows, which are sorted apart."""

_SEED = 0


@dataclass(frozen=True)
class OrderTest:
    """Whether neighbors are nearer to each other in the order of rows than chance would have it.

    Attributes:
        statistic: greatest difference between the distributions of the gaps between neighbors, and between
            any two rows (Kolmogorov-Smirnov, two-sided).
        p_value: probability of so great a one, or a greater one, in a random order.
    """

    statistic: float
    p_value: float

    @property
    def is_issue(self) -> bool:
        """Whether the rows are not independent."""
        return self.p_value < SIGNIFICANT


def find_positions(df: DataFrame, id_col: str, order_col: str) -> DataFrame:
    """Number rows from 1 in an order. Equal values are placed by a hash of their ids: an order that the ids
    alone have is not taken for that of the column.

    Args:
        df: rows with different ids.
        id_col: id column.
        order_col: column that orders them, as `check_order` takes it. Rows where it is missing have no place.

    Returns:
        `ID` and `POSITION`.
    """
    value, kind = F.col(quoted(order_col)), df.schema[order_col].dataType
    if isinstance(kind, DateType):
        number = F.unix_date(value).cast("double")
    elif isinstance(kind, TimestampNTZType):  # no clock is put forward here, as in the session's time zone
        second = F.hour(value) * 3600 + F.minute(value) * 60 + F.date_part(F.lit("SECOND"), value)
        number = (F.unix_date(value.cast("date")) * 86400).cast("double") + second.cast("double")
    else:
        number = value.cast("double")
    tie = F.xxhash64(quoted(id_col)).alias("_tie")
    rows = df.select(F.col(quoted(id_col)).alias(ID), value.alias("_order"), number.alias("_number"), tie)
    placed = rows.where(F.col("_number").isNotNull() & ~F.isnan("_number"))
    told = placed.agg(F.min("_number"), F.max("_number"), F.count("_number"))
    least, greatest, num_rows = told.collect()[0]
    span = 0.0 if least is None else greatest - least
    width = span / NUM_BUCKETS if 0 < span < math.inf else 1.0
    bucket = F.floor((F.col("_number") - F.lit(least)) / F.lit(width)).cast("long")
    few = is_few(num_rows)
    return add_rank(placed, "_order", ["_tie", ID], POSITION, few=few, bucket=bucket).select(ID, POSITION)


def check_order(df: DataFrame, order_col: str) -> None:
    """Check that a column orders rows.

    Raises:
        ColumnTypeError: it does not.
    """
    kind = df.schema[order_col].dataType
    if not isinstance(kind, NumericType | DateType | TimestampType | TimestampNTZType):
        raise ColumnTypeError(
            f"order_col: column {order_col!r} is {kind.simpleString()}; it must be numbers, dates or times"
        )


def find_gaps(lists: DataFrame, positions: DataFrame) -> DataFrame:
    """Find the gaps in the order between rows and their neighbors: `ID`, the two positions, and the gap.

    Args:
        lists: `ID` and `NEIGHBORS`.
        positions: `ID` and `POSITION`.
    """
    of_other = positions.select(F.col(ID).alias(_OTHER), F.col(POSITION).alias(_OTHER_POSITION))
    pairs = lists.select(ID, F.explode(NEIGHBORS).alias(_OTHER)).join(of_other, _OTHER).join(positions, ID)
    gap = F.abs(F.col(POSITION) - F.col(_OTHER_POSITION)).alias(_GAP)
    return pairs.select(ID, POSITION, _OTHER_POSITION, gap)


def run_order_test(gaps: DataFrame, num_rows: int, k: int) -> OrderTest:
    """Test whether rows are independent of their order, on the neighbors of a sample of rows.

    Random orders of the same pairs say what chance does; a kernel density of their statistics gives the
    probability. The sample is the same in any run.

    Args:
        gaps: what `find_gaps` finds.
        num_rows: n, the rows that have a place.
        k: neighbors of a row.
    """
    num_sampled = max(MOST_PAIRS // k, 1)
    sampled = gaps.select(ID).distinct().orderBy(F.xxhash64(ID), ID).limit(num_sampled)
    pairs = gaps.join(sampled, ID).select(POSITION, _OTHER_POSITION).orderBy(POSITION, _OTHER_POSITION)
    found = pairs.toPandas().to_numpy(dtype=np.int64)  # at most MOST_PAIRS rows
    nodes, places = np.unique(found, return_inverse=True)
    places = places.reshape(found.shape)
    observed = find_statistic(np.abs(found[:, 0] - found[:, 1]), num_rows)
    rng = np.random.default_rng(_SEED)
    chance = np.empty(NUM_PERMUTATIONS)
    for trial in range(NUM_PERMUTATIONS):
        drawn = rng.choice(num_rows, len(nodes), replace=False)[places]
        chance[trial] = find_statistic(np.abs(drawn[:, 0] - drawn[:, 1]), num_rows)
    return OrderTest(observed, estimate_p_value(observed, chance))


def find_statistic(gaps: Int64s, num_rows: int) -> float:
    """Find the greatest difference between the distribution of gaps and that of two different random places.

    Args:
        gaps: at least one, each in 1..n-1.
        num_rows: n.

    Example:
        >>> find_statistic(np.array([1, 1, 1, 1]), 5)  # of 10 pairs of places 4 are neighbors
        0.6
    """
    values, counts = np.unique(gaps, return_counts=True)
    after = np.cumsum(counts) / len(gaps)
    before = np.r_[0, after[:-1]]
    up_to, below = _expect(values, num_rows), _expect(values - 1, num_rows)
    return float(max(np.abs(after - up_to).max(), np.abs(before - below).max()))


def _expect(gaps: Int64s, num_rows: int) -> Float64s:
    """Probability that two different random places of 1..n are at most so far apart."""
    gap = gaps.astype(np.float64)
    return gap * (2 * num_rows - gap - 1) / (num_rows * (num_rows - 1.0))


def estimate_p_value(observed: float, chance: Float64s) -> float:
    """Estimate how probable at least the observed value is, by a Gaussian kernel density of values by chance.

    Args:
        observed: the value.
        chance: values by chance, at least two.

    Source: bandwidth of Scott, "Multivariate Density Estimation", 1992.
    """
    width = float(chance.std(ddof=1)) * len(chance) ** -0.2
    if width == 0:
        return float((chance >= observed).mean())
    return float(np.mean([math.erfc((observed - value) / (width * math.sqrt(2))) / 2 for value in chance]))


def score_order(gaps: DataFrame, test: OrderTest, num_rows: int, id_col: str) -> DataFrame:
    """Score rows by the gaps to their neighbors: the mean probability that two random places are nearer. It
    is about 0.5 in a random order, and near 0 where neighbors follow each other.

    Not the rows but their order is the issue. Where there is one, the row with the lowest score stands for
    it; of equal ones that with the lower id.

    Args:
        gaps: what `find_gaps` finds.
        test: what `run_order_test` finds.
        num_rows: n, the rows that have a place.
        id_col: name of the id column of the answer.
    """
    gap = F.col(_GAP).cast("double")
    nearness = (gap * (2 * num_rows - gap - 1) / F.lit(num_rows * (num_rows - 1.0))).cast("decimal(18,15)")
    scored = gaps.groupBy(ID).agg(F.avg(nearness).cast("double").alias(_NEARNESS))
    rows = scored.select(F.col(ID).alias(id_col), _NEARNESS)
    is_worst: Column = F.lit(False)
    if test.is_issue:
        worst = rows.orderBy(_NEARNESS, quoted(id_col)).first()
        is_worst = F.lit(False) if worst is None else F.col(quoted(id_col)) == F.lit(worst[0])
    why = (
        "rows are not independent: gaps between neighbors are not those of a random order "
        f"(p = {test.p_value:.2g})"
    )
    return answer(rows, id_col, F.col(_NEARNESS), is_worst, F.lit(why))
