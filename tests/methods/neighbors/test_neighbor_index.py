"""Nearest neighbors of tables: exact, or of the nearest cells, whatever the partitions."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import NeighborIndex, nearest_neighbors
from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError, MissingColumnError
from cl_spark.kernels.nearest import find_nearest
from cl_spark.methods.neighbors import neighbor_index, parts, search
from tests.methods.neighbors.frames import make_clusters, to_features

pytestmark = pytest.mark.matrix

ROWS = make_clusters(0, 600, 8, copies=20)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return to_features(spark, ROWS).cache()


def read(found: DataFrame) -> pd.DataFrame:
    return found.toPandas().sort_values([found.columns[0], "rank"], ignore_index=True)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_exact_neighbors_are_those_of_all_pairs(
    rows: DataFrame, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "BYTES_OF_PART", 20_000)  # two slices
    monkeypatch.setattr(parts, "WORK_OF_TASK", 500_000)  # and some groups of queries
    found = read(nearest_neighbors(rows, k=5, metric=metric, method="exact"))
    expected = find_nearest(ROWS, ROWS, 5, metric, own=np.arange(len(ROWS)))
    assert found.columns.tolist() == ["id", "neighbor_id", "rank", "distance"]
    assert found["neighbor_id"].tolist() == expected.positions.ravel().tolist()
    assert found["distance"].tolist() == expected.distances.ravel().tolist()
    assert found["rank"].tolist() == [1, 2, 3, 4, 5] * len(ROWS)


@pytest.mark.parametrize("id_type", ["int", "string"])
def test_cells_hold_nearly_all_neighbors_and_recall_is_told(
    rows: DataFrame, id_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BYTES_OF_PARTITION", 100_000)
    monkeypatch.setattr(neighbor_index, "BYTES_OF_PARTITION", 100_000)
    monkeypatch.setattr(neighbor_index, "BYTES_OF_PART", 20 * 64)  # cells of more than 20 rows are cut
    of_ids = rows.selectExpr(f"cast(id as {id_type}) id", "features")
    with NeighborIndex(of_ids, method="approximate") as index:
        found = read(index.nearest_neighbors(5))
        recall = index.recall(5)
    assert len(found) == 5 * len(ROWS)
    expected = find_nearest(ROWS, ROWS, 5, "cosine", own=np.arange(len(ROWS)))
    pairs = set(zip(found["id"].astype(int), found["neighbor_id"].astype(int), strict=True))
    right = {(i, j) for i, row in enumerate(expected.positions.tolist()) for j in row}
    if id_type == "string":  # copies stand in another order
        assert dict(of_ids.dtypes)["id"] == "string"
    share = len(pairs & right) / len(right)
    assert recall >= 0.99
    assert share == pytest.approx(recall, abs=0.03)


def test_nothing_depends_on_partitions(spark: SparkSession) -> None:
    answers = []
    for partitions in (1, 7):
        df = to_features(spark, ROWS, partitions=partitions)
        with NeighborIndex(df, method="approximate") as index:
            answers.append((read(index.nearest_neighbors(3)), index.recall(3)))
    assert answers[0][0].equals(answers[1][0])
    assert answers[0][1] == answers[1][1]


def test_another_table_asks(spark: SparkSession, rows: DataFrame) -> None:
    new = ROWS[:7] + 0.01
    asking = to_features(spark, new, element="float")
    expected = find_nearest(new.astype(np.float32), ROWS, 2, "euclidean")
    for method in ("exact", "approximate"):
        found = read(nearest_neighbors(asking, index=rows, k=2, metric="euclidean", method=method))
        assert found["neighbor_id"].tolist() == expected.positions.ravel().tolist()
    with NeighborIndex(rows, metric="euclidean") as index:
        again = read(nearest_neighbors(asking, index=index, k=2))
        with pytest.raises(ConfigurationError, match="id_col: the index was made with 'id', got 'key'"):
            nearest_neighbors(asking, index=index, id_col="key", k=2)
        large = asking.selectExpr("id + 5000000000 as id", "features")
        assert read(nearest_neighbors(large, index=index, k=2))["id"].min() == 5_000_000_000
    assert again.equals(found)


DIRTY: dict[str, tuple[Any, Any]] = {
    "null or empty features": (101, None),
    "NaN or infinity in features": (102, [1.0, float("nan"), 0.0, 0.0]),
    "null inside features": (103, [1.0, None, 0.0, 0.0]),
    "features of another length than d": (104, [1.0]),
    "features are all 0, which have no direction (metric cosine)": (105, [0.0] * 4),
    "null id": (None, [1.0, 2.0, 3.0, 4.0]),
}


def test_rows_that_cannot_be_used_are_told(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    good = [(i, [float(i), 1.0, 2.0, 3.0]) for i in range(6)]
    repeated = [(107, [1.0, 1.0, 1.0, 1.0]), (107, [1.0, 1.0, 1.0, 2.0])]
    bad = [*DIRTY.values(), *repeated]
    df = spark.createDataFrame([*good, *bad], "id int, features array<double>").repartition(3)
    with NeighborIndex(df) as index:
        found = index.nearest_neighbors(2).toPandas()
        assert sorted(found["id"].unique()) == list(range(6))
        expected = {**dict.fromkeys(DIRTY, 1), "id of several rows": 2}
        assert index.rejected_counts == expected
        assert (index.num_read, index.num_rows) == (len(good) + len(bad), len(good))
        rejected = index.rejected().toPandas()
    assert rejected["reason"].value_counts().to_dict() == expected
    assert "null id: 1" in caplog.text


def test_zero_vectors_have_neighbors_by_distance(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, 0.0, 0), (2, 1.0, 0), (3, 5.0, 1)], "id int, x double, y int")
    with NeighborIndex(df, features_col=["x", "y"]) as index:
        found = read(index.nearest_neighbors(1))
        assert index.metric == "euclidean"
        assert index.rejected_counts == {}
    assert found["neighbor_id"].tolist() == [2, 1, 2]


def test_more_copies_than_neighbors_go_by_id(spark: SparkSession) -> None:
    df = to_features(spark, [[1.0, 2.0]] * 30)
    for method in ("exact", "approximate"):
        found = read(nearest_neighbors(df, k=2, method=method))
        assert found["neighbor_id"].tolist()[:6] == [1, 2, 0, 2, 0, 1]
        assert (found["distance"] == 0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 600}, ConfigurationError, "k: 600 neighbors are asked for, and there are 599 other rows"),
        ({"k": 0}, ConfigurationError, "k must be a whole number of at least 1, got 0"),
        ({"metric": "dot"}, ConfigurationError, "metric: 'dot' is none of auto, cosine, euclidean"),
        ({"method": "fast"}, ConfigurationError, "method: 'fast' is none of"),
        ({"features_col": "vector"}, MissingColumnError, "features_col: no column 'vector' in df"),
        ({"features_col": "id"}, ColumnTypeError, "of plain columns pass a list"),
        ({"id_col": "features"}, ColumnTypeError, "it must be whole numbers or text"),
        ({"id_col": ["id", "day"]}, ConfigurationError, "the name of one column"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    rows: DataFrame, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nearest_neighbors(rows, **options)


def test_one_row_and_no_rows_are_refused(spark: SparkSession) -> None:
    one = to_features(spark, [[1.0, 2.0]])
    with pytest.raises(ConfigurationError, match="there are 0 other rows"):
        nearest_neighbors(one, k=1)
    with pytest.raises(EmptyTableError, match="there are no rows"):
        nearest_neighbors(one.where("id < 0"), k=1)
