"""Several models of one table: the audit of their mean, and scores that tell where they differ."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    InputError,
    LabelAudit,
    ensemble_label_quality_scores,
)
from tests.oracle.datasets import dataset

pytestmark = pytest.mark.matrix

MODELS = ["first", "second", "third"]


def of_models(n: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the (M, n, K) probabilities of three models of different quality."""
    data = dataset(83, n, classes)
    rng = np.random.default_rng(5)
    noise = [rng.dirichlet(np.ones(classes), n) for _ in MODELS]
    return data.labels, np.stack(
        [(1 - s) * data.probs + s * other for s, other in zip((0, 0.3, 0.8), noise, strict=True)]
    )


def models_table(
    spark: SparkSession, labels: np.ndarray, probs: np.ndarray, partitions: int = 3
) -> DataFrame:
    frame = pd.DataFrame({"id": range(len(labels)), "label": labels})
    frame[MODELS] = pd.DataFrame({name: list(map(list, of)) for name, of in zip(MODELS, probs, strict=True)})
    schema = "id long, label int, " + ", ".join(f"{name} array<double>" for name in MODELS)
    return spark.createDataFrame(frame, schema).repartition(partitions)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return models_table(spark, *of_models()).cache()


def test_issues_are_those_of_the_mean(spark: SparkSession, table: DataFrame) -> None:
    labels, probs = of_models()
    mean = models_table(spark, labels, np.broadcast_to(probs.mean(axis=0), probs.shape))
    with (
        LabelAudit(table, pred_probs_cols=MODELS) as ours,
        LabelAudit(mean, pred_probs_col="first") as theirs,
    ):
        for ask in (
            lambda audit: audit.find_label_issues(filter_by="both"),
            lambda audit: audit.label_quality_scores(method="confidence_weighted_entropy"),
            lambda audit: audit.label_quality_scores(adjust_pred_probs=True),
            lambda audit: audit.confident_joint(),
            lambda audit: audit.confident_thresholds(),
        ):
            assert sorted(ask(ours).collect()) == sorted(ask(theirs).collect())


def test_models_differ_where_their_columns_say(table: DataFrame) -> None:
    labels, probs = of_models()
    rows, n = np.arange(len(labels)), len(labels)
    predicted, mean = probs.argmax(axis=2), probs.mean(axis=0).argmax(axis=1)
    others = probs.copy()
    others[:, rows, labels] = -1
    margins = probs[:, rows, labels] - others.max(axis=2)
    found = ensemble_label_quality_scores(table, MODELS).orderBy("id").toPandas()
    assert found["id"].tolist() == list(range(n))
    assert found["given_label"].tolist() == labels.tolist()
    assert found["predicted_label"].tolist() == mean.tolist()
    assert_allclose(found["label_quality"], probs[:, rows, labels].mean(axis=0), atol=1e-12)
    assert_allclose(found["correctness"], (predicted == labels).mean(axis=0))
    assert_allclose(found["disagreement"], (predicted != mean).mean(axis=0))
    assert 0 < found["disagreement"].mean() < 1
    assert_allclose(found["mean_margin"], margins.mean(axis=0), atol=1e-12)
    assert_allclose(found["margin_variance"], margins.var(axis=0), atol=1e-12)


@pytest.mark.parametrize("weights", ["accuracy", "log_loss_search"])
def test_partitions_change_nothing(table: DataFrame, weights: str) -> None:
    options = {"method": "normalized_margin", "adjust_pred_probs": True}
    one, many = (
        ensemble_label_quality_scores(table.repartition(parts), MODELS, weights, **options).collect()
        for parts in (1, 7)
    )
    assert sorted(one) == sorted(many)


def test_formats_may_differ(spark: SparkSession) -> None:
    rows = [
        (0, 0, [0.9, 0.1], 0.3, {"no": 0.8, "yes": 0.2}),
        (1, 1, [0.4, 0.6], 0.5, {"no": 0.1, "yes": 0.9}),
    ]
    schema = "id int, label int, a array<float>, b double, c struct<no double, yes double>"
    df = spark.createDataFrame(rows, schema)
    found = (
        ensemble_label_quality_scores(df, ["a", "b", "c"], class_names=["no", "yes"]).orderBy("id").collect()
    )
    assert [row.given_label for row in found] == ["no", "yes"]
    assert [row.label_quality for row in found] == pytest.approx(
        [(0.9 + 0.7 + 0.8) / 3, (0.6 + 0.5 + 0.9) / 3]
    )


def test_rows_that_lack_a_model_are_rejected(spark: SparkSession) -> None:
    good = [0.8, 0.2]
    rows = [
        (1, 0, good, good), (2, 1, good, good), (3, 0, None, good), (4, 0, good, None),
        (5, 0, good, [0.5, 0.3, 0.2]), (6, 0, [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]), (7, 0, [0.5, None], good),
        (8, 0, good, [float("nan"), 1.0]), (9, 0, [0.2, 0.3, 0.5], [1.0]), (10, 0, [], good), (11, 0, [], []),
    ]  # fmt: skip
    df = spark.createDataFrame(rows, "id int, label int, a array<double>, b array<double>")
    with LabelAudit(df, pred_probs_cols=["a", "b"], num_classes=2) as audit:
        reasons = {row.id: row.reason for row in audit.rejected().collect()}
        assert audit.num_examples + len(reasons) == len(rows)
        scored = {row.id for row in audit.ensemble_label_quality_scores().collect()}
    uneven = "models with different numbers of pred_probs"
    assert reasons == {
        3: "null or empty pred_probs", 4: "null or empty pred_probs", 5: uneven,
        6: "pred_probs of another length than K", 7: "null inside pred_probs",
        8: "NaN or infinity in pred_probs",
        9: uneven, 10: uneven, 11: "null or empty pred_probs",
    }  # fmt: skip
    assert scored == {1, 2}


def test_a_model_that_breaks_a_promise_is_not_averaged_away(spark: SparkSession) -> None:
    rows = [
        (1, 1, [0.2, 0.8], [0.9, 0.1]),
        (2, 1, [-0.5, 1.5], [0.9, 0.1]),
        (3, 1, [0.5, 0.9], [0.5, 0.1]),
        (4, 0, [2.0**40, 0.0], [-(2.0**40), 1.0]),
        (5, 0, [0.9, 0.1], [0.7, 0.3]),
        (6, 0, [1.004, 0.0], [0.9, 0.1]),
    ]
    df = spark.createDataFrame(rows, "id int, label int, a array<double>, b array<double>")
    with LabelAudit(df, pred_probs_cols=["a", "b"], probabilities=True) as audit:
        reasons = {row.id: row.reason for row in audit.rejected().collect()}
    assert reasons == {
        2: "negative value in pred_probs", 3: "pred_probs that do not sum to 1", 4: "score beyond 2^29",
        6: "value outside 0..1 in pred_probs",
    }  # fmt: skip
    with LabelAudit(df, pred_probs_cols=["a", "b"]) as audit:
        assert {row.id for row in audit.rejected().collect()} == {4}
    rows = [(1, 0, [5.0, -1e9], [4.0, -1e9]), (2, 1, [5.0, -1e9], [4.0, 1.0]), (3, 1, [1.0, 2.0], [1.0, 3.0])]
    masked = spark.createDataFrame(rows, df.schema)
    with LabelAudit(masked, pred_probs_cols=["a", "b"]) as audit:  # as in one column, a low one is none
        assert {row.id: row.reason for row in audit.rejected().collect()} == {2: "score beyond 2^29"}


def test_weights_are_used_as_given(table: DataFrame) -> None:
    labels, probs = of_models()
    found = ensemble_label_quality_scores(table, MODELS, [2, 0, 1]).orderBy("id").toPandas()
    of_label = probs[:, np.arange(len(labels)), labels]
    assert_allclose(found["label_quality"], 2 * of_label[0] + of_label[2], atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("best", "weights='best' is unknown; choose one of uniform, accuracy, log_loss_search"),
        ([1.0, 2.0], "weights: 2 were given for 3 models"),
        ([1.0, -2.0, 1.0], "none of them negative"),
        ([0.0, 0.0, 0.0], "not all 0"),
        ([1.0, np.nan, 1.0], "must be finite"),
        ({"first": 0.7, "second": 0.2, "third": 0.1}, "a list of 3 numbers in the order of pred_probs_cols"),
        ({0.7, 0.2, 0.1}, "a list of 3 numbers"),
        (["first", "second", "third"], "a list of 3 numbers"),
        (map(float, [1, 2, 3]), "a list of 3 numbers"),  # could be read once only
        (["1", "2", "3"], "a list of 3 numbers"),
        ([[1.0, 2.0]] * 3, "a list of 3 numbers"),
        (0.5, "weights=0.5 must be one of uniform, accuracy, log_loss_search, or a list of 3 numbers"),
    ],
)
def test_weights_that_make_no_sense_are_refused(table: DataFrame, weights: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        ensemble_label_quality_scores(table, MODELS, weights)  # type: ignore[arg-type]


def test_columns_that_make_no_sense_are_refused(table: DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="pred_probs_col goes without pred_probs_cols"):
        LabelAudit(table, pred_probs_col="first", pred_probs_cols=MODELS)
    with pytest.raises(ConfigurationError, match="must be a list of columns, not the text 'first'"):
        LabelAudit(table, pred_probs_cols="first")
    with pytest.raises(ConfigurationError, match="must be different columns"):
        LabelAudit(table, pred_probs_cols=["first", "first"])
    lists = table.withColumn("third", F.expr("map(0, 0.5D)"))
    with pytest.raises(ColumnTypeError, match="lists of several models have no mean"):
        LabelAudit(lists, pred_probs_cols=MODELS, num_classes=4)
    with pytest.raises(ConfigurationError, match="pass pred_probs_cols"):
        LabelAudit(table, pred_probs_col="first").ensemble_label_quality_scores()


def test_scores_that_are_no_probabilities(spark: SparkSession, table: DataFrame) -> None:
    logits = table.withColumn("second", F.transform("second", lambda p: F.log(p)))
    with LabelAudit(logits, pred_probs_cols=MODELS) as audit:
        assert audit.ensemble_label_quality_scores(method="normalized_margin").count() == 200
        for options in (
            {"weights": "log_loss_search"},
            {"adjust_pred_probs": True},
            {"method": "threshold_cosine"},
        ):
            with pytest.raises(
                ConfigurationError, match="needs probabilities, but 'second' holds values from -"
            ):
                audit.ensemble_label_quality_scores(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"method": "threshold_cosine"}, {"adjust_pred_probs": True}])
def test_thresholds_of_the_mean_are_none_of_a_model(table: DataFrame, options: dict[str, Any]) -> None:
    with LabelAudit(table, pred_probs_cols=MODELS, thresholds=[0.5] * 4) as audit:
        with pytest.raises(ConfigurationError, match="takes the confident thresholds of each model, and"):
            audit.ensemble_label_quality_scores(**options)
        assert audit.ensemble_label_quality_scores().count() == 200


def test_no_examples_tell_no_weights(table: DataFrame) -> None:
    nothing = table.where("id < 0")
    with LabelAudit(nothing, pred_probs_cols=MODELS, num_classes=4, thresholds=[0.5] * 4) as audit:
        assert audit.ensemble_label_quality_scores(method="confidence_weighted_entropy").count() == 0
        for weights in ("accuracy", "log_loss_search"):
            with pytest.raises(
                EmptyTableError, match=f"weights='{weights}' is told from examples, and no row"
            ):
                audit.ensemble_label_quality_scores(weights)


def test_accuracy_weighs_no_model_that_is_always_wrong(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, 0, [0.1, 0.9]), (2, 1, [0.9, 0.1])], "id int, label int, a array<double>")
    with pytest.raises(InputError, match="no model predicts the given label of any example"):
        ensemble_label_quality_scores(df, ["a"], "accuracy")
