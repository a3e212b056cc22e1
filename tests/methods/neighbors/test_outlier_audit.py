"""Outlier audits: scores of their own rows and of others, and the rows they cannot use."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import OutlierAudit
from cl_spark.errors import ConfigurationError, EmptyTableError, MissingColumnError
from cl_spark.kernels.nearest import find_nearest
from tests.methods.neighbors.frames import make_clusters, to_features
from tests.oracle.datasets import dataset

pytestmark = pytest.mark.matrix

ROWS = make_clusters(3, 200, 5)
ROWS[7] = 40 * ROWS[7][::-1]


@pytest.fixture(scope="module")
def features(spark: SparkSession) -> DataFrame:
    return to_features(spark, ROWS).cache()


def test_rows_far_from_others_are_outliers(features: DataFrame) -> None:
    with OutlierAudit(features, k=5, metric="euclidean") as audit:
        scores = audit.outlier_scores().toPandas()
        assert scores.columns.tolist() == ["id", "score"]
        assert len(scores) == len(ROWS)
        found = audit.find_outliers().toPandas().sort_values("rank")
        assert found.columns.tolist() == ["id", "score", "rank"]
        assert found["id"].tolist()[0] == 7
        means = find_nearest(ROWS, ROWS, 5, "euclidean", own=np.arange(200)).distances.mean(axis=1)
        low, high = np.quantile(means, [0.25, 0.75])
        limit = high + (1 / 0.37037 - 1) * (high - low)
        assert found["id"].tolist() == [i for i in np.argsort(-means) if means[i] > limit]
        fixed = audit.find_outliers(0.3).toPandas()
        assert set(fixed["id"]) == set(scores["id"][scores["score"] < 0.3])


def test_far_rows_are_outliers_where_most_rows_are_copies(spark: SparkSession) -> None:
    rows = [[1.0, 2.0]] * 120 + [[1.0 + i, 2.0] for i in range(1, 60)] + [[900.0, 2.0], [2000.0, 2.0]]
    with OutlierAudit(to_features(spark, rows), k=3) as audit:
        found = audit.find_outliers().toPandas().sort_values("rank")
        assert found["id"].tolist()[:2] == [180, 179]
        assert (found["score"].head(2) == 0).all()  # both, by so small a median


def test_new_rows_are_scored_by_what_was_learned(spark: SparkSession, features: DataFrame) -> None:
    with OutlierAudit(features, k=5) as audit:
        new = pd.DataFrame({"id": [1, 2], "features": [ROWS[3].tolist(), (-100 * ROWS[3]).tolist()]})
        alone = audit.outlier_scores(new.head(1)).toPandas()
        both = audit.outlier_scores(spark.createDataFrame(new)).toPandas().sort_values("id")
    assert both["score"].tolist()[0] == alone["score"].tolist()[0]
    assert both["score"].tolist()[0] > both["score"].tolist()[1]


def test_nothing_depends_on_partitions(spark: SparkSession) -> None:
    answers = []
    for partitions in (1, 7):
        with OutlierAudit(to_features(spark, ROWS, partitions=partitions), k=5) as audit:
            answers.append(audit.find_outliers(0.4).toPandas().sort_values("id", ignore_index=True))
    assert answers[0].equals(answers[1])


@pytest.fixture(scope="module")
def predicted(spark: SparkSession) -> DataFrame:
    data = dataset(5, 150, 4)
    rows = [
        (int(i), int(label), [float(p) for p in probs])
        for i, (label, probs) in enumerate(zip(data.labels, data.probs, strict=True))
    ]
    rows += [(900, 1, None), (901, 1, [0.1, 0.9]), (902, 1, [float("nan"), 0.0, 0.0, 1.0])]
    rows += [(903, 1, [1.0, 0.0, 0.0, 0.0]), (903, 2, [0.0, 1.0, 0.0, 0.0])]
    return spark.createDataFrame(rows, "id int, label int, pred_probs array<double>").repartition(3).cache()


def test_probabilities_tell_without_features(predicted: DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    with OutlierAudit(predicted) as audit:
        assert audit.default_method == "entropy"
        scores = audit.outlier_scores().toPandas()
        assert len(scores) == 150
        assert "5 rows of df cannot be used" in caplog.text
        rejected = audit.rejected().toPandas()
        assert sorted(rejected["id"]) == [900, 901, 902, 903, 903]
        assert rejected["reason"].notna().all()
        few = audit.find_outliers(method="least_confidence", adjust_pred_probs=False).toPandas()
        plain = audit.outlier_scores(method="least_confidence", adjust_pred_probs=False).toPandas()
        assert len(few) == (plain["score"] < 0.13 * np.median(plain["score"])).sum()


def test_new_rows_need_no_labels(predicted: DataFrame) -> None:
    with OutlierAudit(predicted) as audit:
        own = audit.outlier_scores().toPandas().set_index("id")["score"]
        new = (
            audit.outlier_scores(predicted.drop("label").where("id < 20")).toPandas().set_index("id")["score"]
        )
    assert (own.loc[new.index] == new).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "distance"}, ConfigurationError, "method: 'distance' is none of neighbors, entropy"),
        ({"threshold": 2}, ConfigurationError, "threshold must be a score between 0 and 1, got 2"),
        ({"method": "entropy"}, MissingColumnError, "pred_probs_col: no column 'pred_probs' in df"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    features: DataFrame, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with OutlierAudit(features, k=5) as audit, pytest.raises(error, match=message):
        audit.find_outliers(**options)


def test_k_is_checked(features: DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="search: 'fast' is none of auto"):
        OutlierAudit(features, search="fast")
    with pytest.raises(ConfigurationError, match="k must be a whole number"):
        OutlierAudit(features, k=0)
    with OutlierAudit(features, k=200) as audit, pytest.raises(ConfigurationError, match="199 other rows"):
        audit.outlier_scores()


def test_labels_are_needed_to_adjust(predicted: DataFrame) -> None:
    with OutlierAudit(predicted.drop("label")) as audit:
        with pytest.raises(MissingColumnError, match="say adjust_pred_probs=False"):
            audit.outlier_scores()
        assert audit.outlier_scores(adjust_pred_probs=False).count() == 150


def test_a_table_without_a_usable_row_is_refused(predicted: DataFrame) -> None:
    with (
        OutlierAudit(predicted.where("id = 900")) as audit,
        pytest.raises(EmptyTableError, match="no row has"),
    ):
        audit.outlier_scores(adjust_pred_probs=False)


def test_rows_that_are_no_probabilities_change_no_score(spark: SparkSession) -> None:
    rng = np.random.default_rng(2)
    probs = rng.dirichlet([4.0, 3.0, 0.1], 60).tolist()
    rows = [(i, i % 2, row) for i, row in enumerate(probs)]  # no label is of the third class
    wrong = [(60, 0, [1.00001, 0.0, 0.0]), (61, 1, [1.7, -0.7, 0.0])]
    found = []
    for table in (rows, rows + wrong):
        df = spark.createDataFrame(table, "id int, label int, pred_probs array<double>")
        with OutlierAudit(df) as audit:
            found.append(audit.outlier_scores().toPandas().set_index("id").score.sort_index())
    assert found[0].between(0, 1).all()
    pd.testing.assert_series_equal(*found)


def test_features_that_are_named_have_to_be_there(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, 0, [0.9, 0.1])], "id int, label int, pred_probs array<double>")
    with pytest.raises(MissingColumnError, match="features_col: no column 'embeding' in df"):
        OutlierAudit(df, features_col="embeding")
    assert OutlierAudit(df).default_method == "entropy"
