"""Connected components: which nodes belong together, in how many rounds."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components as scipy_components

from cl_spark.evidence.storage import Storage
from cl_spark.methods.neighbors.components import connected_components

pytestmark = pytest.mark.matrix


class CountingStorage(Storage):
    """A storage that counts how often a round is cut off from the rounds before it."""

    num_cuts = 0

    def cut(self, df: DataFrame) -> DataFrame:
        self.num_cuts += 1
        return super().cut(df)


def find_groups(edges: DataFrame) -> dict[object, object]:
    storage = Storage()
    found = connected_components(edges, storage)
    assert found.columns == ["id", "group"]
    rows = found.collect()
    storage.release()
    groups = {row.id: row.group for row in rows}
    assert len(groups) == len(rows)
    return groups


def test_groups_are_named_after_their_smallest_node(spark: SparkSession) -> None:
    edges = [("b", "c"), ("c", "b"), ("c", "a"), ("y", "x"), ("y", "x"), ("alone", "alone"), ("x", None)]
    assert find_groups(spark.createDataFrame(edges, "a string, b string")) == {
        **{"a": "a", "b": "a", "c": "a"},
        **{"x": "x", "y": "x", "alone": "alone"},
    }


def test_no_edges_make_no_nodes(spark: SparkSession) -> None:
    assert find_groups(spark.createDataFrame([], "a long, b long")) == {}


def test_random_graphs_have_the_components_that_scipy_finds(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for part, (nodes, edges) in enumerate([(400, 150), (300, 300), (200, 800)]):
        parts.append(rng.integers(0, nodes, (edges, 2)) * 10 + part)
    ends = np.concatenate(parts)
    table = spark.createDataFrame(pd.DataFrame(ends, columns=["a", "b"])).repartition(3)
    size = int(ends.max()) + 1
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, component = scipy_components(graph, directed=False)
    nodes = np.unique(ends)
    least = pd.Series(nodes).groupby(component[nodes]).transform("min")
    assert find_groups(table) == dict(zip(nodes.tolist(), least.tolist(), strict=True))


def test_a_chain_of_ten_thousand_nodes_needs_few_rounds(spark: SparkSession) -> None:
    nodes, storage = np.arange(10_000), CountingStorage()
    edges = spark.createDataFrame(pd.DataFrame({"a": nodes[:-1], "b": nodes[1:]}))
    found = connected_components(edges, storage)
    assert (found.count(), found.where("group = 0").count()) == (10_000, 10_000)
    # the edges themselves, 14 rounds (2^14 > 10,000), and one that changes nothing
    assert storage.num_cuts <= 16
    storage.release()
