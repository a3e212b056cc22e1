"""The check for groups of examples of which a model knows little: slices, or clusters of neighbors."""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.storage import Storage
from cl_spark.methods.checks.check_columns import answer
from cl_spark.methods.neighbors.components import A, B, connected_components
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.search import DISTANCES, NEIGHBORS

GROUP, CONFIDENCE = "_group", "_confidence"
_IS_CORE, _OTHER = "_is_core", "_other"

NEAR = 0.5
"""Distance up to which rows are of one cluster."""

SMALLEST_GROUP = 5
"""Rows within `NEAR` that make a row the core of a cluster, and fewest examples of a group."""

NUM_NEAR = SMALLEST_GROUP - 1
"""Neighbors that have to be near a core."""

FAR_BELOW = 0.1
"""Part of the mean self-confidence of all below which the worst group is an issue."""


def find_clusters(lists: DataFrame, storage: Storage, num_pairs: int) -> DataFrame:
    """Find clusters of rows: `ID`, and `GROUP`, the smallest id of the cluster's cores. Other rows are noise.

    A core has at least 4 neighbors within a distance of 0.5. Cores that are neighbors within this distance
    are one cluster; any other row joins the cluster of the lowest id of which it is such a neighbor.

    Args:
        lists: `ID`, `NEIGHBORS` and `DISTANCES`.
        storage: for the work.
        num_pairs: how many neighbors the lists have at most.

    Source: Ester, Kriegel, Sander, Xu, "A Density-Based Algorithm for Discovering Clusters", KDD 1996, on the
    graph of nearest neighbors; specification, section 19.
    """
    num_near = F.size(F.filter(DISTANCES, _is_near))
    cores = storage.persist(lists.where(num_near >= NUM_NEAR).select(ID, NEIGHBORS, DISTANCES))
    pairs = cores.select(ID, F.explode(F.arrays_zip(NEIGHBORS, DISTANCES)).alias("_pair"))
    near = pairs.where(F.col("_pair").getField(DISTANCES) <= NEAR)
    near = near.select(ID, F.col("_pair").getField(NEIGHBORS).alias(_OTHER))
    others = cores.select(F.col(ID).alias(_OTHER), F.lit(True).alias(_IS_CORE))
    marked = storage.persist(near.join(others, _OTHER, "left"), num_pairs)
    linked = marked.where(_IS_CORE).select(F.col(ID).alias(A), F.col(_OTHER).alias(B))
    alone = cores.select(F.col(ID).alias(A), F.col(ID).alias(B))
    found = connected_components(linked.union(alone), storage)
    clusters = found.select(F.col("id").alias(ID), F.col("group").alias(GROUP))
    edge = marked.where(F.col(_IS_CORE).isNull()).join(clusters, ID)
    borders = edge.groupBy(F.col(_OTHER).alias(ID)).agg(F.min(GROUP).alias(GROUP))
    return clusters.union(borders)


def _is_near(distance: Column) -> Column:
    return distance <= NEAR


@dataclass(frozen=True)
class WorstGroup:
    """The group with the lowest mean self-confidence.

    Attributes:
        group: its name; of two the lower.
        examples: its examples.
        confidence: their mean self-confidence.
        overall: the mean self-confidence of all examples that are in a group.
    """

    group: str
    examples: int
    confidence: float
    overall: float

    @property
    def ratio(self) -> float:
        """Its mean self-confidence as a part of that of all."""
        return self.confidence / self.overall if self.overall else 1.0

    @property
    def is_issue(self) -> bool:
        """Whether the model knows little of the group."""
        return self.ratio < FAR_BELOW


def average_groups(members: DataFrame) -> DataFrame:
    """Average the self-confidence of groups of at least 5: `GROUP`, examples, confidence.

    Args:
        members: `ID`, `GROUP` and `CONFIDENCE`; an example may be in several groups.
    """
    # decimals, so that the mean is the same in any order
    exact = F.col(CONFIDENCE).cast("decimal(18,15)")
    means = members.groupBy(GROUP).agg(F.count(F.lit(1)).alias("examples"), F.sum(exact).alias("sum"))
    mean = (F.col("sum").cast("double") / F.col("examples")).alias("confidence")
    return means.where(F.col("examples") >= SMALLEST_GROUP).select(GROUP, "examples", mean)


def find_worst_group(members: DataFrame, groups: DataFrame) -> WorstGroup | None:
    """Find the worst group; None where no group has enough examples.

    Args:
        members: `ID`, `GROUP` and `CONFIDENCE`.
        groups: what `average_groups` finds.
    """
    worst = groups.orderBy("confidence", GROUP).first()
    if worst is None:
        return None
    exact = F.max(F.col(CONFIDENCE).cast("decimal(18,15)")).alias("one")
    once = members.join(groups.select(GROUP), GROUP).groupBy(ID).agg(exact)
    overall = once.agg(F.avg("one").cast("double")).collect()[0][0]
    return WorstGroup(str(worst[GROUP]), worst["examples"], worst["confidence"], overall)


def score_groups(members: DataFrame, groups: DataFrame, worst: WorstGroup, id_col: str) -> DataFrame:
    """Score examples by the group that they are in: its mean self-confidence as a part of that of all, at
    most 1; of several groups the worst.

    Args:
        members: `ID`, `GROUP` and `CONFIDENCE`.
        groups: what `average_groups` finds.
        worst: what `find_worst_group` finds.
        id_col: name of the id column of the answer.

    Source: as cleanlab's Datalab defines it, but that the lowest mean decides which group is the worst;
    specification, section 19.
    """
    ratio = F.least(F.lit(1.0), F.col("confidence") / F.lit(worst.overall or 1.0))
    is_worst = F.col(GROUP).cast("string") == F.lit(worst.group)
    joined = members.join(groups, GROUP).groupBy(F.col(ID).alias(id_col))
    rows = joined.agg(F.min(ratio).alias("_ratio"), F.max(is_worst).alias("_is_worst"))
    why = (
        f"the model knows little of group {worst.group} ({worst.examples:,} examples): mean self-confidence "
        f"{worst.confidence:.3f}, {worst.overall:.3f} in all"
    )
    return answer(rows, id_col, F.col("_ratio"), F.col("_is_worst") & F.lit(worst.is_issue), F.lit(why))
