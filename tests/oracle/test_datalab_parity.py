"""The checks of a data audit answer what cleanlab's Datalab answers."""

import os
import warnings

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from cl_spark import DataAudit

pytestmark = pytest.mark.slow

KINDS = ("label", "outlier", "near_duplicate", "class_imbalance", "null", "data_valuation")
"""Kinds that are judged as cleanlab does; order and groups are not: specification, section 19."""


def load(name: str) -> pd.DataFrame:
    """Rows with noise in a tenth of the labels, copies, noise in the features, and a class that is rare."""
    features, labels = {"digits": load_digits, "wine": load_wine}[name](return_X_y=True)
    rng, scale = np.random.default_rng(7), features.std(axis=0) + 1e-9
    chosen = rng.permutation(len(labels))[:400]
    rare = labels[chosen] == 1
    chosen = np.concatenate([chosen[~rare], chosen[rare][:3]])
    features, labels = features[chosen] / scale, labels[chosen].copy()
    flipped = rng.choice(len(labels), len(labels) // 10, replace=False)
    labels[flipped] = np.where(labels[flipped] == 0, 2, 0)
    features[20:24] = features[30:34] + 1e-6 * rng.normal(size=features[:4].shape)  # no two at one distance
    features[40:43] = 30 * rng.random(features[:3].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(max_iter=300)
        probs = cross_val_predict(model, features, labels, cv=3, method="predict_proba")
    return pd.DataFrame(
        {"id": np.arange(len(labels)), "label": labels, "features": list(features), "pred_probs": list(probs)}
    )


def ask_cleanlab(rows: pd.DataFrame) -> pd.DataFrame:
    os.environ["HF_HUB_OFFLINE"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanlab import Datalab

        features, probs = np.stack(rows.features), np.stack(rows.pred_probs)
        lab = Datalab({"label": rows.label.to_numpy()}, label_name="label", verbosity=0)
        lab.find_issues(features=features, pred_probs=probs)
        lab.find_issues(features=features, issue_types={"data_valuation": {"k": 10}})
        return lab.get_issues()


@pytest.fixture(scope="module", params=["digits", "wine"])
def answers(spark: SparkSession, request: pytest.FixtureRequest) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = load(request.param)
    table = spark.createDataFrame(rows).repartition(3)
    with DataAudit(table, order_col="id") as audit:
        return audit.scores().toPandas(), ask_cleanlab(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_issues_are_those_of_cleanlab(
    answers: tuple[pd.DataFrame, pd.DataFrame], kind: str
) -> None:
    ours, theirs = answers
    found = ours[ours.issue_type == kind].set_index("id").sort_index()
    assert len(found) == len(theirs)
    assert np.abs(found.score - theirs[f"{kind}_score"]).max() < 1e-6
    assert (found.is_issue.astype(bool) == theirs[f"is_{kind}_issue"]).all()


def test_there_are_issues_of_each_kind_but_missing_values(
    answers: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    kinds = set(answers[0].issue_type[answers[0].is_issue.astype(bool)])
    assert {"label", "outlier", "near_duplicate", "class_imbalance", "data_valuation"} <= kinds


def test_an_order_that_matters_is_told_where_cleanlab_tells_it(
    answers: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    ours, theirs = answers
    is_issue = ours.is_issue[ours.issue_type == "non_iid"].astype(bool)
    assert is_issue.any() == theirs.is_non_iid_issue.any()
