"""Groups of copies, exact and near, of features and of texts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import NeighborIndex, find_duplicates
from cl_spark.errors import ConfigurationError, MissingColumnError
from cl_spark.kernels.nearest import find_nearest
from tests.methods.neighbors.frames import make_clusters, to_features

pytestmark = pytest.mark.matrix

ROWS = make_clusters(1, 200, 6, copies=5)
ROWS[100] = ROWS[50] + 1e-4


def read(found: DataFrame) -> pd.DataFrame:
    return found.toPandas().sort_values(found.columns[0], ignore_index=True)


def test_copies_are_grouped_and_told_apart(spark: SparkSession) -> None:
    columns = {"split": ["train"] * 195 + ["test"] * 5, "label": ["cat"] * 198 + ["dog"] * 2}
    df = to_features(spark, ROWS, **columns)
    found = read(find_duplicates(df, split_col="split", label_col="label"))
    near = find_nearest(ROWS, ROWS, 10, "cosine", own=np.arange(200))
    limit = 0.13 * np.median(near.distances[:, 0])
    linked = np.flatnonzero(near.distances[:, 0] < limit)
    assert set(found["id"]) == {*linked, *near.positions[linked, 0]}
    groups = found.set_index("id")["group"]
    assert [groups[i] for i in range(5)] == [groups[i] for i in range(195, 200)] == [0, 1, 2, 3, 4]
    assert groups[100] == groups[50] == 50
    assert found.set_index("id")["is_exact"][[0, 195, 50]].tolist() == [True, True, False]
    assert found["across_splits"].sum() == 10
    assert found["across_labels"].sum() == 4
    assert (found["group_size"] == 2).all()
    assert (found["distance"] <= limit).all()


def test_only_equal_rows_are_copies_at_threshold_zero(spark: SparkSession) -> None:
    with NeighborIndex(to_features(spark, ROWS)) as index:
        found = read(find_duplicates(index.table.df, threshold=0, index=index))
    assert found["id"].tolist() == [0, 1, 2, 3, 4, 195, 196, 197, 198, 199]
    assert found.columns.tolist() == ["id", "group", "group_size", "distance", "is_exact"]


def test_rows_of_one_direction_are_near_and_not_equal(spark: SparkSession) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 5))
    rows[29] = 2 * rows[0]
    found = read(find_duplicates(to_features(spark, rows), k=5))
    assert found["id"].tolist() == [0, 29]
    assert found["distance"].tolist() == [0, 0]
    assert found["is_exact"].tolist() == [False, False]


def test_many_copies_are_one_group(spark: SparkSession) -> None:
    found = read(find_duplicates(to_features(spark, [[1.0, 2.0, 3.0, 4.0]] * 40), k=3))
    assert found["group"].tolist() == [0] * 40
    assert found["group_size"].tolist() == [40] * 40


def test_texts_are_compared_by_their_words(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    text = " ".join(f"word{i}" for i in range(40))
    texts = {
        "a": text,
        "b": text.upper().replace(" ", "; "),
        "c": text + " more",
        "d": " ".join(f"other{i}" for i in range(40)),
        "e": None,
    }
    rows = [*texts.items(), (None, text), ("f", text), ("f", text)]
    df = spark.createDataFrame(rows, "id string, text string").repartition(3)
    found = read(find_duplicates(df, text_col="text"))
    assert found["id"].tolist() == ["a", "b", "c"]
    assert found["group"].tolist() == ["a", "a", "a"]
    assert found["is_exact"].tolist() == [True, True, False]
    for told in ("1 rows of df cannot be used: null id", "1 rows of df cannot be used: null text"):
        assert told in caplog.text
    assert "2 rows of df cannot be used: id of several rows" in caplog.text


def test_texts_of_the_same_runs_of_words_are_near_and_not_equal(spark: SparkSession) -> None:
    texts = ["ha ha ha ha", "ha ha ha ha ha", "Ha, ha ha: ha!", "an other text of words"]
    found = read(
        find_duplicates(spark.createDataFrame(enumerate(texts), "id int, text string"), text_col="text")
    )
    assert found["distance"].tolist() == [0, 0, 0]
    assert found["is_exact"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": -1}, ConfigurationError, "threshold must be between 0 and 1, got -1"),
        ({"label_col": "label"}, MissingColumnError, "label_col: no column 'label' in df"),
        ({"split_col": "group"}, ConfigurationError, "'group' is the name of a column of the results"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    spark: SparkSession, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    df = to_features(spark, ROWS[:20], group=["a"] * 20)
    with pytest.raises(error, match=message):
        find_duplicates(df, **options)


def test_an_index_has_its_own_metric_and_method(spark: SparkSession) -> None:
    with NeighborIndex(to_features(spark, ROWS), metric="cosine") as index:
        for options, told in (({"metric": "euclidean"}, "metric: the index was made with 'cosine'"),
                              ({"method": "exact"}, "method: the index was made with 'auto'")):  # fmt: skip
            with pytest.raises(ConfigurationError, match=told):
                find_duplicates(index.table.df, index=index, **options)


def test_a_label_that_is_nan_is_none(spark: SparkSession) -> None:
    df = to_features(spark, [[1.0, 2.0]] * 2 + [[5.0, 1.0]] * 2 + [[9.0, 3.0]]).withColumn(
        "label", F.expr("CASE id WHEN 0 THEN 1D WHEN 1 THEN double('NaN') ELSE id END")
    )
    found = read(find_duplicates(df, k=2, label_col="label")).set_index("id")
    assert found["across_labels"].to_dict() == {0: False, 1: False, 2: True, 3: True}


def test_what_has_no_effect_on_texts_is_refused(spark: SparkSession) -> None:
    df = to_features(spark, ROWS[:20]).withColumn("text", F.lit("a b c d"))
    with pytest.raises(ConfigurationError, match="metric has no effect on texts"):
        find_duplicates(df, text_col="text", metric="cosine")
