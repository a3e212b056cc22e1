"""`CleanLearning` beside the oracle, given the same probabilities: same issues, same weights, same model."""

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

from cl_spark import CleanLearning, cross_val_pred_probs
from tests.methods.learning.frames import blobs, training_frame
from tests.oracle import cleanlab_oracle as oracle

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("filter_by", ["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"])
def test_issues_and_the_model_are_the_oracles(spark: SparkSession, filter_by: str) -> None:
    features, labels = blobs(240, 4, seed=9)
    random = np.random.default_rng(2)
    wrong = random.random(240) < 0.2
    labels = np.where(wrong, (labels + random.integers(1, 4, 240)) % 4, labels)
    df = training_frame(spark, features, labels)
    kept = cross_val_pred_probs(df, GaussianNB())
    probs = np.array([row.pred_probs for row in kept.orderBy("id").collect()])
    model = CleanLearning(GaussianNB(), filter_by=filter_by).fit(df, pred_probs=kept)
    issues, classifier = oracle.learnt(clone(GaussianNB()), features, labels, probs, filter_by=filter_by)
    assert {row.id for row in model.label_issues.collect()} == issues
    assert issues
    ours = model.model.predict_proba(features)
    np.testing.assert_allclose(ours, classifier.predict_proba(features), atol=1e-9)
    with_model = model.transform(df).orderBy("id").select(F.col("prediction").cast("int"))
    assert [row[0] for row in with_model.collect()] == ours.argmax(axis=1).tolist()
