"""Estimates in one call, from features and labels."""

import pytest
from pyspark.sql import SparkSession
from sklearn.naive_bayes import GaussianNB

from cl_spark import LabelAudit, cross_val_pred_probs, estimate_joint
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix


def test_it_is_what_an_audit_of_the_probabilities_tells(spark: SparkSession) -> None:
    features, labels = blobs(90)
    labels[:9] = (labels[:9] + 1) % 3
    df = training_frame(spark, features, labels)
    estimate = estimate_joint(df, GaussianNB(), folds=3)
    with LabelAudit(cross_val_pred_probs(df, GaussianNB(), folds=3)) as audit:
        assert estimate.num_label_issues == audit.num_label_issues() > 0
        assert sorted(estimate.joint.collect()) == sorted(audit.confident_joint_table().collect())
    assert estimate.num_examples == 90
    assert estimate.joint.agg({"joint": "sum"}).collect()[0][0] == pytest.approx(1.0)
    assert estimate.noise_rates.prior.count() == 3
