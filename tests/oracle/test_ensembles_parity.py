"""Scores of several models equal cleanlab's, with every weighting and every score."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import SparkSession

from cl_spark import LabelAudit
from cl_spark.methods.classification.ensembles import WEIGHTS
from tests.methods.classification.test_ensembles import MODELS, models_table, of_models
from tests.oracle import cleanlab_oracle as oracle

pytestmark = pytest.mark.slow

SCORES = [
    ("self_confidence", False), ("self_confidence", True), ("normalized_margin", False),
    ("normalized_margin", True), ("confidence_weighted_entropy", False),
]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 4, 30])
def test_scores_equal_those_of_cleanlab(spark: SparkSession, classes: int) -> None:
    labels, probs = of_models(300, classes)
    assert len(np.unique(labels)) == classes
    with LabelAudit(models_table(spark, labels, probs), pred_probs_cols=MODELS) as audit:
        for weights in (*WEIGHTS, [0.5, 0.2, 0.4]):
            for method, adjust in SCORES:
                scored = audit.ensemble_label_quality_scores(
                    weights=weights, method=method, adjust_pred_probs=adjust
                )
                found = scored.orderBy("id").toPandas()["label_quality"]
                expected = oracle.ensemble_scores(labels, list(probs), weights, method, adjust)
                assert_allclose(found, expected, atol=1e-9, err_msg=f"{weights}, {method}, {adjust}")
