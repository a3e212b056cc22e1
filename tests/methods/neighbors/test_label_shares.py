"""Labels of near rows as probabilities: a table without a model can be audited."""

from functools import partial

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.datasets import load_digits

from cl_spark import LabelAudit, NeighborIndex, find_duplicates, neighbor_pred_probs, smooth_pred_probs
from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError
from cl_spark.kernels.nearest import find_nearest
from tests.methods.neighbors.frames import to_features

pytestmark = pytest.mark.matrix


def test_shares_are_those_of_the_neighbors_labels(spark: SparkSession) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 5))
    labels = np.random.default_rng(1).choice(["ant", "bee", "cow"], 60).astype(object)
    labels[:3] = None
    found = neighbor_pred_probs(to_features(spark, rows, label=labels), k=4).toPandas().sort_values("id")
    near = find_nearest(rows, rows, 4, "cosine", own=np.arange(60)).positions
    for i, probs in zip(found["id"], found["pred_probs"], strict=True):
        votes = [label for label in labels[near[i]] if label is not None]
        expected = [votes.count(name) / len(votes) for name in ("ant", "bee", "cow")] if votes else None
        assert (None if probs is None else list(probs)) == expected
    assert len(found) == 60
    assert found["label"].isna().sum() == 3


def test_wrong_labels_are_found_without_a_model(spark: SparkSession) -> None:
    images, labels = load_digits(return_X_y=True)
    images, labels = images[:600], labels[:600].copy()
    wrong = np.random.default_rng(0).choice(600, 30, replace=False)
    labels[wrong] = (labels[wrong] + 3) % 10
    df = to_features(spark, images, label=labels.astype(str)).withColumn("label", F.col("label").cast("int"))
    with LabelAudit(neighbor_pred_probs(df)) as audit:
        found = {row.id for row in audit.find_label_issues().select("id").collect()}
    assert len(found & set(wrong.tolist())) >= 24
    assert len(found - set(wrong.tolist())) <= 12


def test_votes_of_no_class_are_told(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    df = to_features(spark, np.eye(6), label=["a", "b", "a", "b", "c", "a"])
    found = neighbor_pred_probs(df, k=5, class_names=["b", "a"]).toPandas().sort_values("id")
    assert "1 rows of df have a label that is no class" in caplog.text
    assert found["pred_probs"].map(list).tolist()[0] == [0.5, 0.5]
    flags = to_features(spark, np.eye(6)).selectExpr("*", "id < 2 as label")
    found = neighbor_pred_probs(flags, k=5, class_names=["true", "false"]).toPandas().sort_values("id")
    assert found["pred_probs"].map(list).tolist()[0] == [0.2, 0.8]
    with pytest.raises(ConfigurationError, match="must be a list of names, not the text 'ab'"):
        neighbor_pred_probs(df, class_names="ab")


def test_labels_have_to_be_classes(spark: SparkSession) -> None:
    df = to_features(spark, np.eye(5))
    with pytest.raises(ColumnTypeError, match="label_col: column 'label' is double"):
        neighbor_pred_probs(df.selectExpr("*", "1D as label"), k=2)
    with pytest.raises(EmptyTableError, match="no row has a label that is a class"):
        neighbor_pred_probs(df.selectExpr("*", "cast(null as string) as label"), k=2)


def test_an_index_of_other_rows_is_refused(spark: SparkSession) -> None:
    df = to_features(spark, np.random.default_rng(0).normal(size=(30, 3)), label=["a", "b"] * 15)
    df = df.withColumn("pred_probs", F.array(F.lit(0.6), F.lit(0.4)))
    other = df.withColumn("id", F.expr("if(id = 7, 5, id)"))
    with NeighborIndex(df) as index:
        for ask in (neighbor_pred_probs, smooth_pred_probs, partial(find_duplicates, label_col="label")):
            with pytest.raises(ConfigurationError, match="index: it is of other rows: id 5 stands in 2 rows"):
                ask(other, k=3, index=index)
            with pytest.raises(ColumnTypeError, match="'id' is string in df and bigint in the index"):
                ask(df.withColumn("id", F.col("id").cast("string")), k=3, index=index)
    few = df.where("id < 4")
    with NeighborIndex(df) as index:  # has more rows than are asked about
        shares = neighbor_pred_probs(few, k=3, index=index, class_names=["a", "b"]).toPandas()
        near = {row.id: row.neighbor_id for row in index.nearest_neighbors(1).collect()}
        limit = {row.id for row in find_duplicates(few, threshold=1, k=1, index=index).collect()}
    assert sorted(shares["id"]) == [0, 1, 2, 3]
    assert shares["pred_probs"].isna().any()
    assert limit <= {0, 1, 2, 3}
    assert all(near[i] in limit for i in limit)
    with NeighborIndex(other) as index:  # rejects them itself
        assert neighbor_pred_probs(other.where("true"), k=3, index=index).count() == 28
