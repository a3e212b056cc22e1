"""Outlier scores are those of cleanlab."""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from cleanlab.outlier import OutOfDistribution
from pyspark.sql import DataFrame, SparkSession
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from cl_spark import OutlierAudit

pytestmark = pytest.mark.slow

HELD_OUT = 9
"""A class of the digits that nothing is learned from."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def digits() -> pd.DataFrame:
    images, labels = load_digits(return_X_y=True)
    images, labels = np.concatenate([images, images[:25]]), np.concatenate([labels, labels[:25]])  # copies
    probs = np.zeros((len(labels), 9))
    is_known = labels != HELD_OUT
    model = LogisticRegression(max_iter=300, C=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probs[is_known] = cross_val_predict(
            model, images[is_known], labels[is_known], cv=3, method="predict_proba"
        )
        probs[~is_known] = model.fit(images[is_known], labels[is_known]).predict_proba(images[~is_known])
    return pd.DataFrame(
        {"id": np.arange(len(labels)), "features": list(images), "label": labels, "pred_probs": list(probs)}
    )


@pytest.fixture(scope="module")
def learned(spark: SparkSession, digits: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(digits[digits["label"] != HELD_OUT]).repartition(3).cache()


@pytest.fixture(scope="module")
def audit(learned: DataFrame) -> Iterator[OutlierAudit]:
    with OutlierAudit(learned) as audit:
        yield audit


METHODS = [
    ("neighbors", False),
    ("entropy", True),
    ("entropy", False),
    ("least_confidence", True),
    ("least_confidence", False),
    ("gen", False),
]


@pytest.mark.parametrize(("method", "adjust"), METHODS)
def test_scores_are_those_of_cleanlab_and_find_a_held_out_class(
    audit: OutlierAudit, spark: SparkSession, digits: pd.DataFrame, method: str, adjust: bool
) -> None:
    known, others = digits[digits["label"] != HELD_OUT], digits[digits["label"] == HELD_OUT]
    images, probs = np.stack(known["features"]), np.stack(known["pred_probs"])
    if method == "neighbors":
        oracle = OutOfDistribution()
        expected = oracle.fit_score(features=images, verbose=False)
        theirs = oracle.score(features=np.stack(others["features"]))
    else:
        oracle = OutOfDistribution({"method": method, "adjust_pred_probs": adjust})
        expected = oracle.fit_score(pred_probs=probs, labels=known["label"].to_numpy(), verbose=False)
        theirs = oracle.score(pred_probs=np.stack(others["pred_probs"]))
    own = audit.outlier_scores(method=method, adjust_pred_probs=adjust).toPandas().sort_values("id")
    assert np.abs(own["score"].to_numpy() - expected).max() < 1e-9
    new = audit.outlier_scores(spark.createDataFrame(others), method=method, adjust_pred_probs=adjust)
    ours = new.toPandas().sort_values("id")["score"].to_numpy()
    assert np.abs(ours - theirs).max() < 1e-9
    is_known = np.r_[np.ones(len(own)), np.zeros(len(ours))]
    area = roc_auc_score(is_known, np.r_[own["score"], ours])
    assert area >= roc_auc_score(is_known, np.r_[expected, theirs]) - 1e-9
    assert area > 0.5
