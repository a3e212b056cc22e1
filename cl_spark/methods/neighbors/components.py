"""Connected components of a graph, by alternating star operations."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.storage import Storage

A, B = "a", "b"
"""Columns of an edge: its two nodes."""

NODE, GROUP = "id", "group"
"""Columns of a component's node: the node, and the smallest node of its component."""

_HIGH, _LOW, _CHANGED = "_high", "_low", "_changed"
_NODE, _OTHER, _IS_LOWER, _LEAST = "_node", "_other", "_is_lower", "_least"


def connected_components(edges: DataFrame, storage: Storage) -> DataFrame:
    """Find the connected component of each node.

    Each round links every node's higher neighbours to its least one (large star), and then the node and its
    lower neighbours to the least one of these (small star). Neither connects what was apart, nor parts what
    was connected. Edges that no round changes are stars: every node is linked to the least of its component.

    A round shuffles the edges three times. The number of rounds grows with the logarithm of a component's
    diameter: a chain of 10,000 nodes needs 14.

    Args:
        edges: columns `a` and `b` of one type that has an order; each row links two nodes, in either
            direction. Rows may repeat. An edge from a node to itself makes a node without neighbours. Rows
            with a null are left aside.
        storage: cuts each round off from the rounds before it.

    Returns:
        A row per node: `id`, and `group`, the smallest id of its component.

    Source: Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii, "Connected Components in MapReduce and
    Beyond", SoCC 2014: Alternating Algorithm.

    Example:
        >>> edges = spark.createDataFrame([(1, 2), (3, 2), (8, 7)], "a long, b long")
        >>> found = connected_components(edges, Storage())
        >>> [tuple(row) for row in found.orderBy("id").collect()]
        [(1, 1), (2, 1), (3, 1), (7, 7), (8, 7)]
    """
    ends = [F.greatest(A, B).alias(_HIGH), F.least(A, B).alias(_LOW), F.lit(True).alias(_CHANGED)]
    stars = storage.cut(edges.dropna(subset=[A, B]).select(*ends))
    while True:
        counts = stars.agg(F.count(F.lit(1)), F.max(_CHANGED)).collect()[0]
        num_edges, has_changed = counts
        num_partitions = partitions_for(2 * num_edges)
        if not has_changed:
            return _list_nodes(stars, num_partitions)
        unchanged = stars.select(_HIGH, _LOW, F.lit(False).alias(_CHANGED))
        large = _large_star(unchanged, num_partitions)
        small = _small_star(large, num_partitions)
        stars = storage.cut(_merge_equal(small, num_partitions))


def _large_star(edges: DataFrame, num_partitions: int) -> DataFrame:
    """Link the higher neighbours of each node to the least of the node and its neighbours.

    A node's lower neighbours are the low ends of the edges of which it is the high end, so that both ends of
    an edge are told of each other. A window, not a join with the least neighbours: a plan that names the
    edges once grows evenly from round to round, where a session cannot cut it.
    """
    told = F.inline(
        F.array(
            _tell(F.col(_HIGH), F.col(_LOW), is_lower=True),
            _tell(F.col(_LOW), F.col(_HIGH), is_lower=False),
        )
    )
    neighbors = edges.select(told, _CHANGED).repartition(num_partitions, _NODE)
    lower = F.when(F.col(_IS_LOWER), F.col(_OTHER))
    least = F.coalesce(F.min(lower).over(Window.partitionBy(_NODE)), _NODE)
    linked = neighbors.withColumn(_LEAST, least).where(~F.col(_IS_LOWER))
    changed = F.col(_CHANGED) | (F.col(_LEAST) != F.col(_NODE))
    return linked.select(F.col(_OTHER).alias(_HIGH), F.col(_LEAST).alias(_LOW), changed.alias(_CHANGED))


def _tell(node: Column, other: Column, *, is_lower: bool) -> Column:
    return F.struct(node.alias(_NODE), other.alias(_OTHER), F.lit(is_lower).alias(_IS_LOWER))


def _small_star(edges: DataFrame, num_partitions: int) -> DataFrame:
    """Link each node and its lower neighbours to the least of these."""
    least = F.min(_LOW).over(Window.partitionBy(_HIGH))
    stars = edges.repartition(num_partitions, _HIGH).withColumn(_LEAST, least)
    moves = F.col(_LOW) != F.col(_LEAST)
    # the edge that leads to the least neighbour is there already: to link it to itself would say nothing
    linked = F.when(moves, F.array(_link(_HIGH, F.lit(True)), _link(_LOW, F.lit(True)))).otherwise(
        F.array(_link(_HIGH, F.col(_CHANGED)))
    )
    return stars.select(F.inline(linked))


def _link(node: str, changed: Column) -> Column:
    return F.struct(F.col(node).alias(_HIGH), F.col(_LEAST).alias(_LOW), changed.alias(_CHANGED))


def _merge_equal(edges: DataFrame, num_partitions: int) -> DataFrame:
    """Keep one of equal edges; it has changed if one of them has."""
    edges = edges.repartition(num_partitions, _HIGH, _LOW)
    return edges.groupBy(_HIGH, _LOW).agg(F.max(_CHANGED).alias(_CHANGED))


def _list_nodes(stars: DataFrame, num_partitions: int) -> DataFrame:
    """List the nodes of stars: their centres, which are their least nodes, and the nodes linked to them."""
    ends = F.array(
        F.struct(F.col(_HIGH).alias(NODE), F.col(_LOW).alias(GROUP)),
        F.struct(F.col(_LOW).alias(NODE), F.col(_LOW).alias(GROUP)),
    )
    return stars.select(F.inline(ends)).repartition(num_partitions, NODE, GROUP).distinct()
