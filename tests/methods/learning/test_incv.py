"""Iterative noisy cross-validation."""

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import NaiveBayes
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession
from sklearn.naive_bayes import GaussianNB

from cl_spark import CleanLearning, ConfigurationError, EstimatorError
from cl_spark.methods.learning.incv import estimate_noise_rate
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix

NOISY = 30


def frame(spark: SparkSession, partitions: int = 3):  # type: ignore[no-untyped-def]
    features, labels = blobs(300, seed=4)
    given = labels.copy()
    given[:NOISY] = (given[:NOISY] + 1) % 3
    return training_frame(spark, features, given, partitions=partitions, seed=partitions, true_label=labels)


def test_it_finds_wrong_labels_whatever_the_partitions(spark: SparkSession) -> None:
    learning = CleanLearning(GaussianNB(), method="incv")
    found = [learning.find_label_issues(frame(spark, n)).orderBy("rank").collect() for n in (1, 5)]
    assert found[0] == found[1]
    issues = {row.id for row in found[0]}
    assert len(issues & set(range(NOISY))) > 0.8 * NOISY
    assert len(issues) < 3 * NOISY
    assert [row.rank for row in found[0]] == list(range(1, len(issues) + 1))
    quality = [row.label_quality for row in found[0]]
    assert quality == sorted(quality)


def test_its_issues_are_pruned(spark: SparkSession) -> None:
    df = frame(spark)
    model = CleanLearning(GaussianNB(), method="incv").fit(df)
    assert model.noise_rates is None
    assert model.model.class_count_.sum() == 300 - model.label_issues.count()


def test_spark_ml_trains_its_models_too(spark: SparkSession) -> None:
    df = frame(spark).selectExpr("id", "label", "transform(features, x -> x + 20) AS features")
    issues = CleanLearning(NaiveBayes(modelType="gaussian"), method="incv").find_label_issues(df)
    ids = {row.id for row in issues.collect()}
    assert len(ids & set(range(NOISY))) > 0.8 * NOISY


def test_rows_that_no_model_judges_are_no_issues_but_an_error(spark: SparkSession) -> None:
    columns = frame(spark).selectExpr(
        "id", "label", "if(id < 40, null, features[0]) AS x", "features[1] AS y"
    )
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="skip")
    pipeline = Pipeline(stages=[assembler, NaiveBayes(modelType="gaussian")])
    learning = CleanLearning(pipeline, method="incv", features_col=["x", "y"])
    with pytest.raises(EstimatorError, match="Pipeline made 260 of 300 predictions: a stage drops rows"):
        learning.find_label_issues(columns)


def test_the_noise_rate_follows_from_the_agreement() -> None:
    for rate in (0.0, 0.1, 0.45, 0.7):
        agreement = (1 - rate) ** 2 + rate**2 / 9
        assert estimate_noise_rate(agreement, 10) == pytest.approx(rate)
    assert estimate_noise_rate(0.01, 10) == pytest.approx(0.9)
    assert np.isclose(estimate_noise_rate(1.0, 2), 0.0)


def test_what_does_not_go_with_it_is_told(spark: SparkSession) -> None:
    with pytest.raises(ConfigurationError, match="'reweight' follows from noise rates"):
        CleanLearning(GaussianNB(), method="incv", how="reweight")
    with pytest.raises(
        ConfigurationError, match="method must be one of confident_learning, incv, got 'luck'"
    ):
        CleanLearning(GaussianNB(), method="luck")
    with pytest.raises(ConfigurationError, match="folds does not go with method='incv'"):
        CleanLearning(GaussianNB(), method="incv", folds=3)
    df, learning = frame(spark), CleanLearning(GaussianNB(), method="incv")
    with pytest.raises(ConfigurationError, match="leave pred_probs out"):
        learning.find_label_issues(df, pred_probs=df)
